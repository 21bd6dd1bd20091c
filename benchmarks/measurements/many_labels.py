"""Error, time and memory against the number of labels: ``python -m benchmarks.measurements.many_labels --help``.

The labels are band gaps of the Materials Project (PBE), and the experts descriptors: nothing in them has been trained
on a label. The kernel head is exact as far as memory goes. Crystals are embedded once and kept; each point is computed
in a process of its own, and written when it is there, so that a run that is interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from benchmarks.cells.worker import peak_memory, provenance
from benchmarks.measurements.embedded_source import embed_source, read_embedded
from benchmarks.measurements.tools import say, timed
from benchmarks.methods.cards import load_method
from moe_mat.crystals import random_split
from moe_mat.files import data_folder, write_text
from moe_mat.mixture import (
    Batch,
    EmbeddingDataModule,
    MixtureOfExperts,
    MixtureSettings,
    TrainingSettings,
    affordable,
    needed_memory,
    train_in_memory,
)
from moe_mat.zoo import find_cards

RESULT = Path(__file__).parents[1] / "speed" / "many_labels.json"
SOURCE, TARGET = "pretrain/materials_project.parquet", "band_gap_pbe"
EXPERTS = ["magpie", "local_environment"]
LABELS = [1000, 3000, 10_000, 30_000, 100_000]
TESTED = 5000
# Of the labels; they choose the epoch, or the number of trees.
VALIDATION = 0.15
LEVEL = 0.9

Method = Literal["inducing", "lightgbm", "kernel", "mlp"]


@dataclass(frozen=True)
class Point:
    """What is measured once.

    Attributes:
        method: A head, or LightGBM.
        labels: Training and validation rows.
        folder: Of the embeddings.
        threads: Of torch and LightGBM.
    """

    method: Method
    labels: int
    folder: Path
    threads: int

    def measure(self) -> dict[str, Any]:
        """Train, and predict crystals that are the same for all points."""
        torch.set_num_threads(self.threads)
        n = TESTED + self.labels
        x = np.concatenate([read_embedded(self.folder, tag, n=n) for tag in EXPERTS], axis=1)
        y = read_embedded(self.folder, TARGET, n=n)
        measure = _trees if self.method == "lightgbm" else _mixture
        found = measure(self, x, y)
        return {"method": self.method, "labels": self.labels, **found, "peak_memory_mib": round(peak_memory())}


def _mixture(point: Point, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    settings = MixtureSettings(experts=EXPERTS, targets=[TARGET], head=point.method)
    try:
        affordable(settings, find_cards(EXPERTS), n_rows=point.labels)
    except ValueError as error:
        return {"refused": str(error)}
    torch.manual_seed(0)
    model = MixtureOfExperts(**vars(settings))
    split = random_split(point.labels, fractions=(1 - VALIDATION, VALIDATION, 0.0), seed=0)
    rows = {part: torch.as_tensor(of_part) + TESTED for part, of_part in split._asdict().items()}
    ids = [str(row) for row in range(len(y))]
    data = EmbeddingDataModule(torch.from_numpy(x), torch.from_numpy(y)[:, None], rows, ids=ids)
    cost, val_mae = _cost(lambda: train_in_memory(model, data, TrainingSettings(), seed=0))
    batch = Batch(data.embeddings[:TESTED], None, ids[:TESTED])
    with torch.inference_mode():
        of_prediction, said = timed(model.eval().say, batch)
    lower, upper = (bound[:, 0].numpy() for bound in model.intervals.bounds(said, LEVEL))
    true, predicted = y[:TESTED], said.predicted.values[:, 0].numpy()
    return {
        "test_mae": float(np.abs(predicted - true).mean()),
        "val_mae": val_mae,
        "coverage_90": float(((lower <= true) & (true <= upper)).mean()),
        "width_90": float((upper - lower).mean()),
        **cost,
        "seconds_of_prediction": of_prediction,
        "estimated_mib": round(needed_memory(point.method, point.labels, width=x.shape[1]) / 2**20),
    }


def _trees(point: Point, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    import lightgbm

    method = load_method("lightgbm")
    options = {**method.settings, **method.candidates[-1]}  # the candidate with the largest trees
    options.pop("refit")
    stop = lightgbm.early_stopping(options.pop("stopping_rounds"), verbose=False)
    options |= {"random_state": 0, "n_jobs": point.threads, "verbose": -1}
    split = random_split(point.labels, fractions=(1 - VALIDATION, VALIDATION, 0.0), seed=0)
    train, val = (part + TESTED for part in (split.train, split.val))

    def fitted() -> Any:
        model = lightgbm.LGBMRegressor(**options)
        model.fit(x[train], y[train], eval_set=[(x[val], y[val])], eval_metric="mae", callbacks=[stop])
        model.set_params(n_estimators=max(1, model.best_iteration_))
        return model.fit(x[TESTED:], y[TESTED:])

    cost, model = _cost(fitted)
    return {"test_mae": float(np.abs(model.predict(x[:TESTED]) - y[:TESTED]).mean()), **cost}


def _cost(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds of a call, by the clock and, which other jobs change less, of processors; and its result."""
    start = time.process_time()
    seconds, result = timed(run)
    return {"seconds": seconds, "processor_seconds": time.process_time() - start}, result


def measure_all(points: Sequence[Point], output: Path) -> None:
    """Measure those points that are not in the result yet, each in a process of its own."""
    content: dict[str, Any] = {"points": []}
    if output.exists():
        content = json.loads(output.read_text(encoding="utf-8"))
    known = {(one["method"], one["labels"]) for one in content["points"]}
    for point in points:
        if (point.method, point.labels) in known:
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(point.measure)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        content["points"].append({**measured, "threads": point.threads, **provenance(), "when": when})
        described = {"source": SOURCE, "target": TARGET, "unit": "eV", "experts": EXPERTS, "test_rows": TESTED}
        write_text(output, json.dumps({"measurement": "many_labels", **described, **content}, indent=1) + "\n")
        say(f"{point.method:<9} {point.labels:7d} labels: " + json.dumps(measured))


def main(arguments: Sequence[str] | None = None) -> int:
    """Embed what is not embedded yet, and measure the points that are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.measurements.many_labels", description=str(__doc__).split(":")[0] + "."
    )
    parser.add_argument("--data", type=Path, default=None, help="folder of prepared data; by default MOE_MAT_DATA")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the embeddings")
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--methods", nargs="+", choices=get_args(Method), default=get_args(Method))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file, which is gone on with")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    source = (options.data or data_folder()) / SOURCE
    n = TESTED + max(options.labels)
    embed_source(source, TARGET, EXPERTS, options.work, n=n, workers=options.threads)
    points = [Point(method, n, options.work, options.threads) for n in options.labels for method in options.methods]
    measure_all(points, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
