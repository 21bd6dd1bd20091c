"""The appendix on what an MAE hides: its interval, the typical error, and the part of a few crystals."""

from __future__ import annotations

import numpy as np

from benchmarks.reports.bootstrap import Errors
from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, number, with_interval
from benchmarks.reports.scores import Key

# Share of the test rows, those with the largest errors, without which an MAE is shown too.
LARGEST = 0.01


def without_largest(errors: np.ndarray, share: float = LARGEST) -> float:
    """The mean of errors ``[n]`` without the largest ``share`` of them, at least one."""
    n_left = len(errors) - max(1, round(share * len(errors)))
    return float(np.sort(errors)[:n_left].mean()) if n_left > 0 else float("nan")


def r2(errors: Errors) -> float:
    """Coefficient of determination over the test rows of all splits; NaN for constant targets."""
    tested = np.isfinite(errors.values)
    true = np.broadcast_to(errors.targets[None, :, None], tested.shape)[tested]
    spread = float(((true - true.mean()) ** 2).sum())
    return 1 - float((errors.pooled**2).sum()) / spread if spread else float("nan")


def error_tables(found: Findings, document: Document) -> None:
    """A table a task, a row a method."""
    for task in found.tasks:
        rows = []
        for method in found.methods:
            errors = found.errors.get(Key(task, method))
            if errors is None:
                continue
            cells = [with_interval(found.scores[Key(task, method)].mean, found.interval(task, method))]
            trimmed = without_largest(errors.pooled)
            share = 1 - trimmed * (1 - LARGEST) / max(float(errors.pooled.mean()), 1e-300)
            cells += [number(float(np.median(errors.pooled))), f"{r2(errors):.3f}", number(trimmed), f"{share:.0%}"]
            rows.append([f"`{method}`", *cells])
        if not rows:
            continue
        if not document.blocks:
            document.add(
                "MAE: mean over splits [95 % interval, bootstrap over crystals]. The others are of the test rows of "
                "all splits together: median absolute error, R², the MAE without the 1 % of the rows with the largest "
                "errors of the method, and the share that these have in its error. Where it is large, the MAE is about "
                "a few crystals, [which are listed](page:labels)."
            )
        unit = found.cards.unit(task)
        title = found.cards.of(task).title if task in found.own_tasks else task
        document.add((3, title if unit == "1" else f"{title} ({unit})"))
        document.add(Table(["method", "MAE", "median", "R²", "MAE without 1 %", "share of 1 %"], rows))
    if not document.blocks:
        document.add("The results have no predictions.")
