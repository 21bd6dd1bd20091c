"""The README's table of the benchmark, and what it counts: ``python -m benchmarks.summary``."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.cells.results import RESULTS, read_result
from benchmarks.methods.cards import learned_from
from benchmarks.reports.comparisons import clearly_below, clearly_lower
from benchmarks.reports.findings import GOALS, Findings, bold, number
from benchmarks.reports.report import gather
from benchmarks.reports.scores import Against, Key, against_method, against_published
from moe_mat.tasks import TaskCards

OURS = ("moe", "moe-train-only", "moe-strict")
PEER = "moe-published"


def read(folder: Path, cards: TaskCards) -> Findings:
    """The results of these methods, with all labels, on the tasks that have published numbers.

    Raises:
        ResultError: a file is damaged.
        ValueError: no method has all splits of a task.
    """
    paths = [path for method in (*OURS, PEER) for path in sorted((folder / method).glob("*.json"))]
    names = {card.name for card in cards.find() if card.comparable and card.published}
    results = [read_result(path) for path in paths]
    return gather([r for r in results if r["task"] in names and not r.get("n_labels")], cards=cards)


def table(found: Findings) -> str:
    """Markdown: a row a task; bold is ours where its whole interval is below both published numbers."""
    methods = [method for method in OURS if method in found.methods]
    rows = [
        ["task", *GOALS, *(f"`{method}`" for method in methods)],
        ["---", *["---:"] * (len(GOALS) + len(methods))],
        ["learned from", *["as published"] * len(GOALS), *map(learned_from, methods)],
    ]
    for task in found.own_tasks:
        card, unit = found.cards.of(task), found.cards.unit(task)
        theirs = [card.published[name].mean for name in GOALS]
        # A unit of one is said nowhere; that of a logarithm is a name.
        cells = [card.title if unit == "1" else f"{card.title}, {unit}", *map(number, theirs)]
        for method in methods:
            score, span = found.scores.get(Key(task, method)), found.interval(task, method)
            below = span is not None and span.high < min(theirs)
            cells.append("" if score is None else bold(number(score.mean), below))
        rows.append(cells)
    return "\n".join(f"|{'|'.join(row)}|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in rows)


def sentences(found: Findings) -> list[str]:
    """What the table comes to, a line for each of our methods."""
    lines = []
    for method in (method for method in OURS if method in found.methods):
        parts = []
        for name in GOALS:
            against = against_published(found.cards, found.scores, method, name)
            parts.append(_counts(against, name, len(clearly_below(found, method, name))))
        against = against_method(found.scores, method, PEER)
        if against.changes:
            parts.append(_counts(against, f"`{PEER}`", len(clearly_lower(found, method, PEER))))
        lines.append(f"* `{method}` is below {'; '.join(parts)}.")
    return lines


def _counts(against: Against, name: str, clear: int) -> str:
    mean = f"{against.mean:+.0%}".replace("%", " %")
    return f"{name} on {against.wins} of {len(against.changes)} tasks ({clear} clearly), {mean}"


def summary(folder: Path = RESULTS) -> str:
    """The part of the README that the cells decide."""
    found = read(folder, TaskCards())
    return "\n\n".join([table(found), "\n".join(sentences(found))]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(summary())
