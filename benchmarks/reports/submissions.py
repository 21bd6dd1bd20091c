"""Results in the formats of the public leaderboards: Matbench's record and jarvis_leaderboard's CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells.results import Result, is_finished
from moe_mat.tasks import N_SPLITS, TaskCards, matbench_folds

MATBENCH_VERSION = "0.6"


def matbench_ids(cards: TaskCards, task: str) -> list[list[str]]:
    """The ids of the test rows of each fold, as Matbench numbers them: ``mb-phonons-0001`` is the first row."""
    n_rows = cards.of(task).evidence.n_rows
    prefix, digits = task.replace("matbench", "mb").replace("_", "-"), math.floor(math.log10(n_rows)) + 1
    return [[f"{prefix}-{row + 1:0{digits}d}" for row in test] for _, test in matbench_folds(n_rows)]


def matbench_record(cards: TaskCards, results: Sequence[Result], method: str) -> dict[str, Any] | None:
    """The record of a method, as ``MatbenchBenchmark.to_file`` writes it; None unless a task has all its folds.

    Of several seeds the lowest is recorded.
    """
    tasks = {}
    for task in cards.matbench:
        folds = {result["split"]: result for result in reversed(_of(results, method, task)) if "predictions" in result}
        if len(folds) == N_SPLITS:
            fold_ids = matbench_ids(cards, task)
            tasks[task] = {
                "@module": "matbench.task",
                "@class": "MatbenchTask",
                "benchmark_name": "matbench_v0.1",
                "dataset_name": task,
                "results": {f"fold_{n}": _fold(folds[n], fold_ids[n]) for n in range(N_SPLITS)},
            }
    if not tasks:
        return None
    record = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": MATBENCH_VERSION,
        "tasks": tasks,
        "user_metadata": {"algorithm": f"moe_mat {method}"},
        "benchmark_name": "matbench_v0.1",
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    return {**record, "hash": matbench_hash(record)}


def matbench_hash(record: Mapping[str, Any]) -> str:
    """Matbench's checksum of a record: SHA-256 of its JSON with sorted keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def write_jarvis(results: Sequence[Result], method: str, folder: Path) -> list[Path]:
    """One ``AI-SinglePropertyPrediction-<task>-<splits>-test-mae.csv.zip`` a task and split: id, target, prediction."""
    written = []
    for result in _first_seed(results, method):
        # A property must not have a hyphen: it separates the parts of the name.
        name = f"AI-SinglePropertyPrediction-{result['task']}-split{result['split']}-test-mae.csv"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "target", "prediction"])
        writer.writerows(zip(result["ids"], result["targets"], result["predictions"], strict=True))
        path = folder / f"{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            # A fixed date: the same results give the same file.
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text.getvalue())
        written.append(path)
    return written


def _first_seed(results: Sequence[Result], method: str) -> list[Result]:
    """A method's results with predictions, of the lowest seed of each task."""
    found = [
        r for task in sorted({r["task"] for r in results}) for r in _of(results, method, task) if "predictions" in r
    ]
    lowest = {result["task"]: result["seed"] for result in reversed(found)}
    return [result for result in found if result["seed"] == lowest[result["task"]]]


def _of(results: Sequence[Result], method: str, task: str) -> list[Result]:
    """A method's finished results on a task with all labels, by seed and split."""
    found = [
        r for r in results if (r["method"], r["task"]) == (method, task) and is_finished(r) and not r.get("n_labels")
    ]
    return sorted(found, key=lambda result: (result["seed"], result["split"]))


def _fold(result: Result, ids: Sequence[str]) -> dict[str, Any]:
    true, predicted = np.asarray(result["targets"]), np.asarray(result["predictions"])
    errors = np.abs(predicted - true)
    large = np.abs(true) > 1e-5  # Matbench leaves the others out of the relative error
    return {
        "data": dict(zip(ids, predicted.tolist(), strict=True)),
        "parameters": {},
        "scores": {
            "mae": float(errors.mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "mape": float((errors[large] / np.abs(true[large])).mean()),
            "max_error": float(errors.max()),
        },
    }
