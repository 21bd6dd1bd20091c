"""From results to the numbers of a report: means over splits, comparisons with published MAEs, paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.cells import Cell, Result, is_finished
from benchmarks.protocols import card_of
from benchmarks.tasks import N_SPLITS

PUBLISHED = ("CGCNN", "MoE-(18)", "UMA", "JMP-MT", "JMP-FT", "MoMa (Adapter)", "MoMa (Full)")
BEST_TRANSFER = "tl (best on validation)"


@dataclass(frozen=True, slots=True)
class Against:
    """A method beside a published one.

    Attributes:
        method: ours.
        published: theirs.
        n_tasks: tasks that both have a number for.
        wins: tasks where ours is lower.
        relative: mean over tasks of ``(ours - theirs) / theirs``.
        losses: tasks where ours is not lower, with the relative change.
    """

    method: str
    published: str
    n_tasks: int
    wins: int
    relative: float
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Paired:
    """Two methods on the same splits.

    Attributes:
        task: of the splits.
        method: ours.
        other: the other.
        differences: ours minus the other, by split.
        t_test: two-sided p of a paired t-test; None with fewer than two splits or without any spread.
        wilcoxon: two-sided p of Wilcoxon's signed-rank test; None likewise.
    """

    task: str
    method: str
    other: str
    differences: Mapping[int, float]
    t_test: float | None
    wilcoxon: float | None

    @property
    def mean(self) -> float:
        """Mean difference."""
        return float(np.mean(list(self.differences.values())))


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """Finished results as a table: task, split, method, seed, n_labels (0 for all), val_mae, test_mae, seconds."""
    columns = ["task", "split", "method", "seed", "n_labels", "val_mae", "test_mae", "seconds"]
    rows = [{**result, "n_labels": result.get("n_labels") or 0} for result in results if is_finished(result)]
    return pd.DataFrame(rows, columns=columns)


def with_best_transfer(cells: pd.DataFrame) -> pd.DataFrame:
    """Replace several ``tl:<expert>`` by the one that has the lowest mean validation MAE on each task."""
    pairwise = cells["method"].str.startswith("tl:") & (cells["method"] != "tl:best")
    if cells.loc[pairwise, "method"].nunique() < 2:
        return cells
    kept = [cells[~pairwise]]
    for _, of_task in cells[pairwise].groupby(["task", "n_labels"]):
        best = of_task.groupby("method")["val_mae"].mean().idxmin()
        kept.append(of_task[of_task["method"] == best].assign(method=BEST_TRANSFER))
    return pd.concat(kept, ignore_index=True)


def by_split(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds: columns task, method, n_labels, split, val_mae, test_mae, seconds."""
    keys = ["task", "method", "n_labels", "split"]
    return cells.groupby(keys, as_index=False)[["val_mae", "test_mae", "seconds"]].mean()


def by_task(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over splits of the mean over seeds, indexed by task, method and n_labels.

    Columns mean and sd (between splits, n - 1) of test_mae, val (mean val_mae), seconds (of one cell), splits (how many).
    """
    splits = by_split(cells)
    grouped = splits.groupby(["task", "method", "n_labels"])
    return pd.DataFrame(
        {
            "mean": grouped["test_mae"].mean(),
            "sd": grouped["test_mae"].std(ddof=1),
            "val": grouped["val_mae"].mean(),
            "seconds": grouped["seconds"].mean(),
            "splits": grouped["split"].nunique(),
        }
    )


def compare_with_published(table: pd.DataFrame, method: str, published: str) -> Against:
    """Wins and mean relative change over the comparable tasks for which all splits are there.

    Args:
        table: of `by_task`.
        method: ours.
        published: theirs.
    """
    relative = {}
    for (task, name, n_labels), row in table.iterrows():
        if name != method or n_labels or row["splits"] < N_SPLITS:
            continue
        card = card_of(task)
        if task == card.name and card.comparable and published in card.published:
            relative[task] = row["mean"] / card.published[published].mean - 1
    changes = list(relative.values())
    return Against(
        method,
        published,
        n_tasks=len(changes),
        wins=sum(change < 0 for change in changes),
        relative=float(np.mean(changes)) if changes else float("nan"),
        losses={task: change for task, change in relative.items() if change >= 0},
    )


def paired(cells: pd.DataFrame, task: str, method: str, other: str) -> Paired | None:
    """Differences of two methods on the splits that both have; None where there are none."""
    splits = by_split(cells)
    splits = splits[(splits["task"] == task) & (splits["n_labels"] == 0)]
    maes = splits.pivot(index="split", columns="method", values="test_mae")
    if method not in maes or other not in maes:
        return None
    differences = (maes[method] - maes[other]).dropna()
    if not len(differences):
        return None
    t_test = wilcoxon = None
    if len(differences) > 1 and differences.std() > 1e-12 * abs(differences.mean()):
        t_test = float(stats.ttest_1samp(differences, 0.0).pvalue)
        wilcoxon = float(stats.wilcoxon(differences).pvalue)
    by_number = {int(split): float(value) for split, value in differences.items()}
    return Paired(task, method, other, by_number, t_test, wilcoxon)


def over_tasks(table: pd.DataFrame, method: str, other: str) -> tuple[int, int, float, float | None]:
    """Two methods over all tasks that both have: tasks, wins, mean relative change, Wilcoxon's p of the changes.

    Args:
        table: of `by_task`.
        method: ours.
        other: the other.
    """
    means = table.reset_index()
    means = means[means["n_labels"] == 0].pivot(index="task", columns="method", values="mean")
    changes = (means[method] / means[other] - 1).dropna()
    p = float(stats.wilcoxon(changes).pvalue) if len(changes) > 1 and (changes != 0).any() else None
    return len(changes), int((changes < 0).sum()), float(changes.mean()), p


def gate_weights(results: Iterable[Result], method: str) -> pd.DataFrame:
    """Mean gate weights over splits and seeds: a row a task, a column an expert; empty for methods without a gate."""
    rows = [
        {"task": result["task"], **result["gate_weights"]}
        for result in results
        if result["method"] == method
        and is_finished(result)
        and result.get("gate_weights")
        and not result.get("n_labels")
    ]
    # An expert that a cell did not have had no weight in it.
    return pd.DataFrame(rows).fillna(0.0).groupby("task").mean() if rows else pd.DataFrame()


def missing_cells(results: Sequence[Result], tasks: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Method -> task -> which splits have no number, and why; for each seed that the method has anywhere."""
    known = {Cell.of(result): result for result in results}
    missing: dict[str, dict[str, str]] = {}
    for method in methods:
        seeds = sorted({cell.seed for cell in known if cell.method == method and cell.n_labels is None})
        for task in tasks:
            gaps = []
            for seed in seeds:
                for split in range(N_SPLITS):
                    result = known.get(Cell(task, split, method, seed))
                    if result is None or not is_finished(result):
                        suffix = f" (seed {seed})" if len(seeds) > 1 else ""
                        why = (
                            "" if result is None else f": failed, {str(result.get('error', '')).splitlines()[0][:120]}"
                        )
                        gaps.append((f"{split}{suffix}", why))
            if gaps:
                reasons = dict.fromkeys(why for _, why in gaps)
                parts = [", ".join(split for split, reason in gaps if reason == why) + why for why in reasons]
                whole = len(gaps) == N_SPLITS * len(seeds) and len(reasons) == 1
                missing.setdefault(method, {})[task] = (
                    f"all{parts[0][parts[0].find(':') :] if gaps[0][1] else ''}" if whole else "; ".join(parts)
                )
    return missing


def mixed(results: Iterable[Result]) -> list[str]:
    """What ought to be the same in all results of a method or task and is not."""
    frame_ = pd.DataFrame(
        [
            {
                "method": result["method"],
                "task": result["task"],
                "settings": result.get("fingerprint"),
                "splits": result.get("splits_sha256"),
            }
            for result in results
            if is_finished(result)
        ],
        columns=["method", "task", "settings", "splits"],
    )
    notes = [
        f"{method} has results of {count} different settings or sets of experts: run the sweep again"
        for method, count in frame_.groupby("method")["settings"].nunique().items()
        if count > 1
    ]
    notes += [
        f"{task} has results on {count} different sets of splits: they must not be compared"
        for task, count in frame_.groupby("task")["splits"].nunique().items()
        if count > 1
    ]
    return notes
