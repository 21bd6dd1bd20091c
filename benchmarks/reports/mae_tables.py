"""The table of test MAEs that several pages have, its picture, and what stands out in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.methods.cards import learned_from
from benchmarks.reports import figures
from benchmarks.reports.document import Table
from benchmarks.reports.findings import GOALS, Findings, bold, with_interval
from benchmarks.reports.scores import Key

BOLD = (
    "Mean over splits [95 % interval, bootstrap over crystals]. Bold: the lowest of a row, where the interval of the "
    "difference from every other method excludes zero, and no published number lies within or below its interval; "
    "variants of `moe` are not held against each other."
)
VARIANTS = {"moe", "moe-light", "moe-strict", "moe-train-only"}


def draw_relative(found: Findings, tasks: Sequence[str], methods: Sequence[str], path: Path) -> None:
    """The picture of a table: MAEs over those of the first published method."""
    spans = {Key(task, method): span for task in tasks for method in methods if (span := found.interval(task, method))}
    figures.relative(found.scores, spans, tasks=tasks, methods=methods, published=GOALS, cards=found.cards, path=path)


def mae_table(found: Findings, tasks: Sequence[str], published: Sequence[str], methods: Sequence[str]) -> Table:
    """A row a task: test MAEs as published, and of our methods with their intervals; what stands out in bold."""
    rows = [["learned from", *("as published" for _ in published), *map(learned_from, methods)]]
    for task in tasks:
        card, unit = found.cards.of(task), found.cards.unit(task)
        theirs = {m: card.published[m].mean for m in published if m in card.published and card.comparable}
        ours = {m: found.scores[Key(task, m)].mean for m in methods if Key(task, m) in found.scores}
        best = standing_out(found, task, theirs, ours)
        cells = [card.title if unit == "1" else f"{card.title} ({unit})"]
        cells += [bold(f"{theirs[m]:.4g}", m == best) if m in theirs else "" for m in published]
        cells += [
            bold(with_interval(ours[m], found.interval(task, m)), m == best) if m in ours else "" for m in methods
        ]
        rows.append(cells)
    return Table(["task", *published, *methods], rows, n_heads=1)


def standing_out(found: Findings, task: str, theirs: Mapping[str, float], ours: Mapping[str, float]) -> str | None:
    """Which method is lower than all others of a row, and not by chance; None without one.

    The interval of its difference from each method of ours lies below zero. Of published numbers no predictions are
    known: the interval of ours lies below the number, or above it. Variants of `moe` are not held against each other.

    Args:
        found: with the intervals.
        task: of the row.
        theirs: published MAEs.
        ours: MAEs of our methods.
    """
    known = {**theirs, **ours}
    if len(known) < 2:
        return None
    best = min(known, key=lambda method: known[method])
    others = [m for m in ours if m != best and not (best in ours and {m, best} <= VARIANTS)]
    if best in theirs:
        above = [found.interval(task, method) for method in ours]
        return best if all(one is not None and one.low > theirs[best] for one in above) else None
    own = found.interval(task, best)
    if theirs and (own is None or own.high >= min(theirs.values())):
        return None
    gaps = [found.difference(task, best, other) for other in others]
    return best if all(gap is not None and gap.high < 0 for gap in gaps) else None
