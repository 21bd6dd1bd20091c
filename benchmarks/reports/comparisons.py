"""The appendices that compare methods with published ones and with each other."""

from __future__ import annotations

from statistics import fmean, stdev

from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import GOALS, Findings
from benchmarks.reports.scores import PUBLISHED, Against, against_method, against_published, paired

SIGNIFICANCE = (
    "How much the differences mean: splits of one task share most of their rows, so that p values are too small. With "
    "five splits Wilcoxon's two-sided p cannot be below 0.0625, and a paired t-test rests on four degrees of freedom; "
    "neither is corrected for the number of tasks. Read a difference as real where all splits agree in sign and it is "
    "large beside the standard deviation of the differences. Of the published methods only means are known: nothing "
    "can be paired with them, and a gap smaller than our standard error over splits says little."
)


def published_methods(found: Findings, document: Document) -> None:
    """Wins and mean relative change against each published method."""
    rows, losses = [], []
    for method in found.methods:
        cells = [method]
        for published in PUBLISHED:
            against = against_published(found.cards, found.scores, method, published)
            n_tasks = len(against.changes)
            cells.append(f"{against.wins}/{n_tasks}, {against.mean:+.1%}" if n_tasks else "")
            if method == found.reference and published in GOALS and (text := lost_to(found, against)):
                losses.append(f"`{method}` is not below {published} on: {text}.")
        if any(cells[1:]):
            rows.append(cells)
    if rows:
        document.add("Wins out of the comparable tasks of which all five splits are there; mean relative change.")
        document.add(Table(["method", *PUBLISHED], rows), *([losses] if losses else []))
        sources = sorted({card.source for card in found.cards.find() if card.source})
        document.add(f"Source of the published numbers: {'; '.join(sources)}.")


def lost_to(found: Findings, against: Against) -> str:
    """The tasks on which a method is not below a published one, with how far it is above; empty without any."""
    lost = {task: change for task, change in against.changes.items() if change >= 0}
    return ", ".join(f"{found.cards.of(task).title} {change:+.1%}" for task, change in lost.items())


def paired_differences(found: Findings, document: Document) -> None:
    """The reference method against each other one, on the same splits."""
    overall, rows = [], []
    for other in found.methods:
        if other == found.reference:
            continue
        against, p = against_method(found.scores, found.reference, other)
        if against.changes:
            overall.append([other, f"{against.wins}/{len(against.changes)}", f"{against.mean:+.1%}", _p_value(p)])
        for task in found.tasks:
            pair = paired(found.scores, task, found.reference, other)
            if pair is None:
                continue
            values = list(pair.by_split.values())
            spread = f"{stdev(values):.2g}" if len(values) > 1 else ""
            won = f"{sum(value < 0 for value in values)}/{len(values)}"
            numbers = " ".join(f"{value:+.3g}" for value in values)
            rows.append(
                [
                    other,
                    task,
                    f"{fmean(values):+.3g}",
                    spread,
                    won,
                    _p_value(pair.t_test),
                    _p_value(pair.wilcoxon),
                    numbers,
                ]
            )
    if rows:
        document.add(
            f"MAE of `{found.reference}` against that of the other method, mean over tasks, on the splits of both; "
            f"below zero `{found.reference}` is lower."
        )
        document.add(Table(["other method", "tasks won", "mean relative change", "Wilcoxon p over tasks"], overall))
        document.add((2, "Split by split"))
        document.add(f"Test MAE of `{found.reference}` minus that of the other method on the same split.")
        header = ["other method", "task", "mean", "sd", "splits won", "t-test p", "Wilcoxon p", "by split"]
        document.add(Table(header, rows, text=("task",)), SIGNIFICANCE)


def _p_value(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
