"""From results to the numbers of a report: means over splits, comparisons with published MAEs, paired differences.

No p-value is made over tasks: several of them share their crystals, and all of them their experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

from benchmarks.cells.results import Cell, Result, is_finished
from benchmarks.reports.resampled import corrected_t_test
from moe_mat.tasks import N_SPLITS, TaskCards

PUBLISHED = ("CGCNN", "MoE-(18)", "UMA", "JMP-MT", "JMP-FT", "MoMa (Adapter)", "MoMa (Full)")
BEST_TRANSFER = "tl (best on validation)"


class Key(NamedTuple):
    """What a score is of; ``n_labels`` is 0 for all labels."""

    task: str
    method: str
    n_labels: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """A method on a task.

    Attributes:
        by_split: split -> test MAE, mean over seeds.
        val_mae: mean over splits and seeds.
        seconds: of each cell.
        test_ratio: test rows over training rows, those of validation not counted; NaN where no cell notes them.
    """

    by_split: Mapping[int, float]
    val_mae: float
    seconds: Sequence[float]
    test_ratio: float = math.nan

    @property
    def mean(self) -> float:
        """Mean test MAE over splits."""
        return fmean(self.by_split.values())

    @property
    def sd(self) -> float:
        """Standard deviation between splits (n - 1); NaN for a single one."""
        return stdev(self.by_split.values()) if len(self.by_split) > 1 else math.nan

    @property
    def complete(self) -> bool:
        """Whether all splits are there."""
        return len(self.by_split) == N_SPLITS


Scores = Mapping[Key, Score]


def score(results: Iterable[Result]) -> dict[Key, Score]:
    """The scores of finished results."""
    cells: dict[Key, list[Result]] = {}
    for result in results:
        if is_finished(result):
            key = Key(result["task"], result["method"], result.get("n_labels") or 0)
            cells.setdefault(key, []).append(result)
    return {key: _score(found) for key, found in cells.items()}


def _score(cells: Sequence[Result]) -> Score:
    maes: dict[int, list[float]] = {}
    for cell in sorted(cells, key=lambda cell: cell["split"]):
        maes.setdefault(cell["split"], []).append(cell["test_mae"])
    ratios = [cell["rows"]["test"] / cell["rows"]["train"] for cell in cells if "rows" in cell]
    return Score(
        by_split={split: fmean(of_seeds) for split, of_seeds in maes.items()},
        val_mae=fmean(cell["val_mae"] for cell in cells),
        seconds=[cell["seconds"] for cell in cells],
        test_ratio=fmean(ratios) if ratios else math.nan,
    )


def with_best_transfer(results: Sequence[Result]) -> list[Result]:
    """Replace the methods ``tl:<expert>`` by the one of them that has the lowest mean validation MAE on each task."""
    pairwise = {r["method"] for r in results if r["method"].startswith("tl:") and r["method"] != "tl:best"}
    if len(pairwise) < 2:
        return list(results)
    best: dict[tuple[str, int], tuple[float, str]] = {}
    for key, found in score(results).items():
        if key.method in pairwise:
            place, candidate = (key.task, key.n_labels), (found.val_mae, key.method)
            best[place] = min(best.get(place, candidate), candidate)
    kept = []
    for result in results:
        place = (result["task"], result.get("n_labels") or 0)
        if result["method"] not in pairwise:
            kept.append(result)
        elif place in best and best[place][1] == result["method"]:
            kept.append({**result, "method": BEST_TRANSFER})
    return kept


@dataclass(frozen=True, slots=True)
class Against:
    """A method beside a published one.

    Attributes:
        changes: task -> ``(ours - theirs) / theirs``, for the tasks of which all splits are there.
    """

    changes: Mapping[str, float]

    @property
    def wins(self) -> int:
        """Number of tasks where ours is lower."""
        return sum(change < 0 for change in self.changes.values())

    @property
    def mean(self) -> float:
        """Mean relative change."""
        return fmean(self.changes.values())


def against_published(cards: TaskCards, scores: Scores, method: str, published: str) -> Against:
    """A method beside a published one."""
    changes = {}
    for key, found in scores.items():
        card = cards.of(key.task)
        ours = key.method == method and not key.n_labels and found.complete
        if ours and key.task == card.name and card.comparable and published in card.published:
            changes[key.task] = found.mean / card.published[published].mean - 1
    return Against(changes)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two methods on the splits of a task.

    Attributes:
        by_split: split -> ours minus the other's test MAE.
        t_test: two-sided p of the corrected resampled t-test; None without any spread to test against.
    """

    by_split: Mapping[int, float]
    t_test: float | None


def paired(scores: Scores, task: str, method: str, other: str) -> Paired | None:
    """Differences split by split; None where one of the two lacks a split."""
    ours, theirs = scores.get(Key(task, method)), scores.get(Key(task, other))
    if ours is None or theirs is None or not (ours.complete and theirs.complete):
        return None
    by_split = {split: mae - theirs.by_split[split] for split, mae in ours.by_split.items()}
    return Paired(by_split, corrected_t_test(list(by_split.values()), ratio=ours.test_ratio))


def against_method(scores: Scores, method: str, other: str) -> Against:
    """Two methods over all tasks of which both have all splits."""
    changes = {}
    for key, ours in scores.items():
        theirs = scores.get(Key(key.task, other))
        if key.method == method and not key.n_labels and theirs is not None and ours.complete and theirs.complete:
            changes[key.task] = ours.mean / theirs.mean - 1
    return Against(changes)


def gate_weights(results: Iterable[Result], method: str) -> dict[str, dict[str, float]]:
    """Task -> expert -> gate weight, mean over splits and seeds; empty for methods without a gate."""
    of_task: dict[str, list[Mapping[str, float]]] = {}
    for result in results:
        if result["method"] == method and result.get("gate_weights") and not result.get("n_labels"):
            of_task.setdefault(result["task"], []).append(result["gate_weights"])
    # An expert that a cell did not have had no weight in it.
    return {
        task: {
            tag: fmean(one.get(tag, 0.0) for one in found) for tag in dict.fromkeys(tag for one in found for tag in one)
        }
        for task, found in of_task.items()
    }


def missing_cells(results: Iterable[Result], method: str, tasks: Sequence[str]) -> dict[str, str]:
    """Task -> which splits of a method have no number, and why; of every seed that the method has anywhere."""
    known = {Cell.of(result): result for result in results if result["method"] == method}
    seeds = sorted({cell.seed for cell in known if cell.n_labels is None})
    missing: dict[str, str] = {}
    for task in tasks:
        by_reason: dict[str, list[str]] = {}
        for seed in seeds:
            for split in range(N_SPLITS):
                result = known.get(Cell(task, split, method, seed))
                if result is None or not is_finished(result):
                    reason = "not run" if result is None else f"failed, {_first_line(result.get('error', ''))}"
                    by_reason.setdefault(reason, []).append(f"{split}" if len(seeds) == 1 else f"{split} (seed {seed})")
        if by_reason:
            missing[task] = "; ".join(f"splits {' '.join(splits)} {reason}" for reason, splits in by_reason.items())
    return missing


def _first_line(text: str) -> str:
    return text.splitlines()[0][:160] if text else "no reason given"


def inconsistencies(results: Iterable[Result]) -> list[str]:
    """What ought to be the same in all results of a method or task and is not."""
    settings: dict[str, set[str]] = {}
    splits: dict[str, set[str]] = {}
    for result in filter(is_finished, results):
        if "method_digest" in result:
            settings.setdefault(result["method"], set()).add(result["method_digest"])
        if "splits_sha256" in result:
            splits.setdefault(result["task"], set()).add(result["splits_sha256"])
    notes = [
        f"{method} has results of {len(found)} different settings or sets of experts: run the sweep again"
        for method, found in settings.items()
        if len(found) > 1 and method != BEST_TRANSFER
    ]
    return notes + [
        f"{task} has results on {len(found)} different sets of splits: they must not be compared"
        for task, found in splits.items()
        if len(found) > 1
    ]
