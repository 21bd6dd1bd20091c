"""The appendix with every method on every task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.findings import GOALS, Findings, bold, with_sd
from benchmarks.reports.modules import is_modular
from benchmarks.reports.scores import PUBLISHED, Key


def all_methods(found: Findings, document: Document) -> None:
    """A row a task, published columns first, and the same as a picture; modules are compared elsewhere."""
    own = found.own_tasks
    comparable = [task for task in own if found.cards.of(task).comparable]
    methods = [method for method in found.methods if not is_modular(method)]
    if any(map(is_modular, found.methods)):
        document.add("Methods that compose modules are in [an appendix of their own](page:modules).")
    if comparable:
        document.add("Bold: the lowest of a row with all splits. Published columns are means over the same splits.")
        document.add(mae_table(found, comparable, PUBLISHED, methods))
        if drawn := [method for method in methods if method != "median"]:
            path = found.figures / "relative_all.png"
            figures.relative(
                found.scores, tasks=comparable, methods=drawn, published=GOALS, cards=found.cards, path=path
            )
            document.add(Picture(path, f"Test MAE relative to {GOALS[0]}; left of the line is better"))
    if others := [task for task in own if task not in comparable]:
        document.add((2, "Tasks without comparable published numbers"), mae_table(found, others, (), methods))


def mae_table(found: Findings, tasks: Sequence[str], published: Sequence[str], methods: Sequence[str]) -> Table:
    """A row a task: test MAEs as published, and of our methods; the lowest with all splits in bold."""
    rows = []
    for task in tasks:
        card, unit = found.cards.of(task), found.cards.unit(task)
        theirs = {m: card.published[m].mean for m in published if m in card.published and card.comparable}
        ours = {m: found.scores[Key(task, m)] for m in methods if Key(task, m) in found.scores}
        best = min([*theirs.values(), *(one.mean for one in ours.values() if one.complete)], default=math.nan)
        cells = [card.title if unit == "1" else f"{card.title} ({unit})"]
        cells += [bold(f"{theirs[m]:.4g}", theirs[m] == best) if m in theirs else "" for m in published]
        cells += [bold(with_sd(ours[m]), ours[m].mean == best) if m in ours else "" for m in methods]
        rows.append(cells)
    return Table(["task", *published, *methods], rows)
