"""The appendices that compare methods with published ones and with each other."""

from __future__ import annotations

from statistics import fmean

from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import GOALS, Findings, bold
from benchmarks.reports.scores import PUBLISHED, Against, against_method, against_published, paired

SIGNIFICANCE = (
    "Interval: 95 % of the difference of the MAEs over draws of the crystals (bootstrap, percentiles), all splits "
    "together. p: corrected resampled t-test over the five splits (Nadeau and Bengio 2003), which counts their overlap "
    "by test rows over training rows. Neither is corrected for the number of tasks, and there is no p over tasks: "
    "several share their crystals. Both know nothing of another draw of the training rows than these five. On tasks "
    "whose MAE rests on a few crystals, [which are listed](page:labels), the bootstrap's intervals are too narrow."
)


def published_methods(found: Findings, document: Document) -> None:
    """Wins and mean relative change against each published method."""
    rows, losses = [], []
    for method in found.methods:
        cells = [method]
        for published in PUBLISHED:
            against = against_published(found.cards, found.scores, method, published)
            n_tasks = len(against.changes)
            clear = len(clearly_below(found, method, published))
            cells.append(f"{against.wins}/{n_tasks} ({clear}), {against.mean:+.1%}" if n_tasks else "")
            if method == found.reference and published in GOALS and (text := lost_to(found, against)):
                losses.append(f"`{method}` is not below {published} on: {text}.")
        if any(cells[1:]):
            rows.append(cells)
    if rows:
        document.add(
            "Wins out of the comparable tasks of which all five splits are there; in brackets those where the 95 % "
            "interval of ours lies below the published number; mean relative change."
        )
        document.add(Table(["method", *PUBLISHED], rows), *([losses] if losses else []))
        sources = sorted({card.source for card in found.cards.find() if card.source})
        document.add(f"Source of the published numbers: {'; '.join(sources)}.")


def lost_to(found: Findings, against: Against) -> str:
    """The tasks on which a method is not below a published one, with how far it is above; empty without any."""
    lost = {task: change for task, change in against.changes.items() if change >= 0}
    return ", ".join(f"{found.cards.of(task).title} {change:+.1%}" for task, change in lost.items())


def clearly_below(found: Findings, method: str, published: str) -> list[str]:
    """The tasks on which the interval of a method lies below a published number."""
    against = against_published(found.cards, found.scores, method, published)
    spans = {task: found.interval(task, method) for task in against.changes}
    goals = {task: found.cards.of(task).published[published].mean for task in spans}
    return [task for task, span in spans.items() if span is not None and span.high < goals[task]]


def clearly_lower(found: Findings, method: str, other: str) -> list[str]:
    """The tasks on which the interval of the difference of two methods lies below zero."""
    against = against_method(found.scores, method, other)
    gaps = {task: found.difference(task, method, other) for task in against.changes}
    return [task for task, gap in gaps.items() if gap is not None and gap.high < 0]


def paired_differences(found: Findings, document: Document) -> None:
    """The reference method against each other one, on the same splits."""
    overall, rows = [], []
    for other in found.methods:
        if other == found.reference:
            continue
        against = against_method(found.scores, found.reference, other)
        if against.changes:
            n_tasks, clear = len(against.changes), len(clearly_lower(found, found.reference, other))
            overall.append([other, f"{against.wins}/{n_tasks}", f"{clear}/{n_tasks}", f"{against.mean:+.1%}"])
        rows += [row for task in found.tasks if (row := _pair(found, task, other))]
    if rows:
        document.add(
            f"MAE of `{found.reference}` against that of the other method, mean over the tasks of which both have all "
            f"splits; below zero `{found.reference}` is lower. Clearly: the interval of the difference excludes zero."
        )
        document.add(Table(["other method", "tasks won", "clearly", "mean relative change"], overall))
        document.add((2, "Split by split"))
        document.add(f"Test MAE of `{found.reference}` minus that of the other method on the same split.", SIGNIFICANCE)
        header = ["other method", "task", "mean", "interval", "splits won", "p", "by split"]
        document.add(Table(header, rows, text=("task",)))


def _pair(found: Findings, task: str, other: str) -> list[str]:
    """A row of the table; empty where one of the two is not complete."""
    pair = paired(found.scores, task, found.reference, other)
    if pair is None:
        return []
    values, gap = list(pair.by_split.values()), found.difference(task, found.reference, other)
    mean = f"{fmean(values):+.3g}"
    cells = [other, task, mean if gap is None else bold(mean, gap.low > 0 or gap.high < 0)]
    cells += ["" if gap is None else f"[{gap.low:+.3g}, {gap.high:+.3g}]"]
    cells += [f"{sum(value < 0 for value in values)}/{len(values)}", _p_value(pair.t_test)]
    return [*cells, " ".join(f"{value:+.3g}" for value in values)]


def _p_value(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
