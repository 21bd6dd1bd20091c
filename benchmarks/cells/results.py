"""Cells: one task, split, method and seed, and the small JSON file that holds what came out of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moe_mat.files import write_text

Result = dict[str, Any]

RESULTS = Path(__file__).parents[1] / "results"
NUMBERS = ("val_mae", "test_mae", "seconds")
# Folder of what experts have seen of the tasks, among the folders of the methods.
AUDITS = "audit"
# Predictions are stored with six digits: the stored MAE must follow from them to a little less.
ROUNDING = 1e-4


class ResultError(ValueError):
    """A result file that is damaged or not what its name says; the message names it."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """The smallest unit of a benchmark.

    Attributes:
        task: a task of ours, or the name of a Matbench task, which is then run by Matbench's protocol.
        split: number of the split or fold.
        method: its name.
        seed: of everything random in the method.
        n_labels: labels it may see, training and validation together; None for all.
    """

    task: str
    split: int
    method: str
    seed: int = 0
    n_labels: int | None = None

    def __str__(self) -> str:
        labels = "" if self.n_labels is None else f" {self.n_labels} labels"
        return f"{self.method} {self.task} split {self.split} seed {self.seed}{labels}"

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Cell:
        """The cell that a result belongs to."""
        return cls(result["task"], result["split"], result["method"], result["seed"], result.get("n_labels"))

    def path(self, folder: Path) -> Path:
        """Its result file in a folder of results."""
        labels = "" if self.n_labels is None else f".{self.n_labels}"
        # A colon is no character for a file name everywhere.
        return folder / self.method.replace(":", "-") / f"{self.task}.{self.split}.{self.seed}{labels}.json"


def rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    """Numbers with six digits, which keeps files small and plots the same."""
    return [float(f"{value:.6g}") for value in values]


def write_result(result: Result, folder: Path) -> Path:
    """Write a result to its place, whole or not at all; it gets a checksum."""
    path = Cell.of(result).path(folder)
    write_checked({key: value for key, value in result.items() if key != "sha256"}, path)
    return path


def write_checked(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON with a checksum, a key a line, whole or not at all."""
    content = {**content, "sha256": digest(content)}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    write_text(path, f"{{\n{lines}\n}}\n")


def read_result(path: Path) -> Result:
    """A result, finished or failed (``status``), checked as far as it can be.

    Raises:
        ResultError: the file is damaged, lacks a number, belongs to another cell, or contradicts itself.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} is damaged: {error}") from error
    if not isinstance(result, dict):
        raise ResultError(f"{path} is damaged: it holds no object")
    if problem := _problem(result, path):
        raise ResultError(f"{path}: {problem}")
    return result


def read_results(folder: Path) -> tuple[list[Result], list[ResultError]]:
    """All results of a folder, and what is wrong with the files that are none."""
    results, problems = [], []
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name == AUDITS:
            continue
        try:
            results.append(read_result(path))
        except ResultError as error:
            problems.append(error)
    return results, problems


def is_finished(result: Mapping[str, Any]) -> bool:
    """Whether a result has numbers, or only says why it has none."""
    return result.get("status", "finished") == "finished"


def failed_result(cell: Cell, *, error: str, traceback: str, **noted: Any) -> Result:
    """What stands in the place of a result when a cell failed; a later run tries again."""
    empty = dict.fromkeys(NUMBERS)
    return {**asdict(cell), "status": "failed", **empty, "error": error, "traceback": traceback, **noted}


def _problem(result: Result, path: Path) -> str | None:
    for key, kind in (("task", str), ("split", int), ("method", str), ("seed", int)):
        if not isinstance(result.get(key), kind):
            return f"{key} is {result.get(key)!r}"
    # The folder of results may be anywhere; the last two parts of the path are the cell's.
    if Cell.of(result).path(path.parent.parent) != path:
        return f"it holds the result of another cell, {Cell.of(result)}"
    if "sha256" in result and digest({k: v for k, v in result.items() if k != "sha256"}) != result["sha256"]:
        return "it does not have its checksum: it was damaged or changed by hand"
    if not is_finished(result):
        return None
    for key in NUMBERS:
        value = result.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            return f"{key} is {value!r}"
    return _contradiction(result)


def _contradiction(result: Result) -> str | None:
    """Whether the MAE does not follow from the predictions, where these are there."""
    if "predictions" not in result:
        return None
    predicted, true = (np.asarray(result.get(key, []), dtype=float) for key in ("predictions", "targets"))
    if not len(predicted) == len(true) == len(result.get("ids", [])) > 0:
        return "ids, targets and predictions are not equally many"
    mae = float(np.abs(predicted - true).mean())
    if not math.isclose(mae, result["test_mae"], rel_tol=ROUNDING, abs_tol=ROUNDING * float(np.abs(true).mean())):
        return f"its predictions have an MAE of {mae:.6g}, but test_mae is {result['test_mae']:.6g}"
    return None


def digest(content: Mapping[str, Any]) -> str:
    """Checksum of the content of a file, its own left out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def grid(
    tasks: Sequence[str],
    methods: Sequence[str],
    splits: Sequence[int],
    seeds: Sequence[int],
    n_labels: Sequence[int | None],
) -> Iterator[Cell]:
    """All cells of a sweep, task by task, so that a task's crystals are read once."""
    for task in tasks:
        for method in methods:
            for labels in n_labels:
                for seed in seeds:
                    for split in splits:
                        yield Cell(task, split, method, seed, labels)
