"""The section of a report on uncertainty: whether intervals hold what they promise, and whether they tell anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, spearmanr

from benchmarks.cells.results import Result, is_finished
from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, bold
from moe_mat.mixture import interval_score
from moe_mat.tasks import N_SPLITS

LEVELS = ("50", "80", "90", "95")
# Coverage of intervals at 90 % that is as good as it gets, and that will do.
GOOD, FAIR = (0.88, 0.92), (0.85, 0.95)
MEANINGS = [
    "Coverage: share of the test rows of all splits whose value lies in the interval. Exact intervals would still "
    "differ from the level by chance, by a standard deviation of 1 % for 900 rows.",
    "Score and CRPS are in parts of what a single width for all crystals could reach at best, chosen on these test "
    "rows: the interval score (Gneiting and Raftery 2007) of the best constant width around the same predictions, and "
    "the CRPS of the best Gaussian of constant width. Below 1, the widths tell something.",
    "z² is the mean squared error in standard deviations, which are half the width at 68.3 %: heavy tails make it more "
    "than 1. Rank: Spearman's correlation of width and absolute error.",
]


@dataclass(frozen=True, slots=True)
class Pooled:
    """The uncertainty of a method on one task, over the test rows of all splits.

    Attributes:
        n: number of rows.
        coverage: of each of `LEVELS`.
        score: interval score at 90 %, in parts of the best constant width's.
        crps: in parts of the best constant Gaussian's.
        squared_z: mean squared error in standard deviations.
        rank: correlation of width and absolute error.
    """

    n: int
    coverage: tuple[float, ...]
    score: float
    crps: float
    squared_z: float
    rank: float


def pooled(results: Sequence[Result]) -> Pooled:
    """Pool the cells of a task, which are all of one method and have intervals."""
    true, predicted, std = (np.concatenate([one[key] for one in results]) for key in ("targets", "predictions", "std"))
    bounds = {level: np.concatenate([one["intervals"][level] for one in results], axis=1) for level in LEVELS}
    errors, sizes = true - predicted, [len(one["targets"]) for one in results]
    crps = np.average([one["uncertainty"]["crps"] for one in results], weights=sizes)
    return Pooled(
        len(true),
        tuple(float(((low <= true) & (true <= high)).mean()) for low, high in bounds.values()),
        float(interval_score(true, bounds["90"][0], bounds["90"][1], 0.9).mean() / _best_constant_width(errors)),
        float(crps / _best_constant_gaussian(errors)),
        float(((errors / np.maximum(std, 1e-30)) ** 2).mean()),
        float(spearmanr(std, np.abs(errors)).statistic),
    )


def _best_constant_width(errors: np.ndarray) -> float:
    halves = np.quantile(np.abs(errors), np.linspace(0.5, 0.999, 200))
    return float(min(interval_score(errors, -half, half, 0.9).mean() for half in halves))


def _best_constant_gaussian(errors: np.ndarray) -> float:
    """Lowest CRPS (Gneiting and Raftery 2007, eq. 21) of Gaussians around the predictions."""

    def crps(std: float) -> float:
        z = errors / std
        return float((std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))).mean())

    return min(crps(std) for std in errors.std() * np.geomspace(0.02, 2, 80))


def uncertainty(found: Findings, document: Document) -> None:
    """Intervals of every method that has them, on tasks with all splits."""
    by_method = {method: of_tasks for method in found.methods if (of_tasks := _by_task(found, method))}
    if not by_method:
        return
    document.add(MEANINGS, [_summary(method, list(of_tasks.values())) for method, of_tasks in by_method.items()])
    for method, of_tasks in by_method.items():
        document.add((2, f"`{method}`"), _table(found, of_tasks))


def _by_task(found: Findings, method: str) -> dict[str, Pooled]:
    cells: dict[str, list[Result]] = {}
    for one in found.results:
        whole = is_finished(one) and one["method"] == method and not one.get("n_labels") and one["seed"] == 0
        if whole and "intervals" in one:
            cells.setdefault(one["task"], []).append(one)
    return {task: pooled(cells[task]) for task in found.tasks if len(cells.get(task, ())) == N_SPLITS}


def _summary(method: str, tasks: Sequence[Pooled]) -> str:
    at_90 = [one.coverage[LEVELS.index("90")] for one in tasks]
    good, fair = (sum(low <= one <= high for one in at_90) for low, high in (GOOD, FAIR))
    return (
        f"`{method}`: intervals at 90 % hold 88 to 92 % of the test rows on {good} of {len(tasks)} tasks, 85 to 95 % "
        f"on {fair}; their score is below that of the best constant width on {sum(one.score < 1 for one in tasks)}, "
        f"the CRPS below that of the best constant Gaussian on {sum(one.crps < 1 for one in tasks)}."
    )


def _table(found: Findings, of_tasks: dict[str, Pooled]) -> Table:
    header = ["task", "rows", *(f"{level} %" for level in LEVELS), "score", "CRPS", "z²", "rank"]
    rows = []
    for task, one in of_tasks.items():
        covered = [f"{100 * share:.1f}" for share in one.coverage]
        good = GOOD[0] <= one.coverage[LEVELS.index("90")] <= GOOD[1]
        covered[LEVELS.index("90")] = bold(covered[LEVELS.index("90")], good)
        ratios = [bold(f"{ratio:.2f}", ratio < 1) for ratio in (one.score, one.crps)]
        rows.append(
            [found.cards.of(task).title, str(one.n), *covered, *ratios, f"{one.squared_z:.1f}", f"{one.rank:.2f}"]
        )
    return Table(header, rows)
