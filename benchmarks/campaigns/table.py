"""The tables of docs/suggest.md: labels until the best crystals are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.campaigns.needed import AIMS, Aim, Needed, needed
from benchmarks.campaigns.problems import GOALS, Repeat
from benchmarks.campaigns.results import path_of, read_repeats
from moe_mat.tasks import TaskCards

HALF = 0.5
Searches = Mapping[tuple[str, str], Sequence[Repeat]]


def read_searches(folder: Path, methods: Sequence[str]) -> Searches:
    """Task and method to repeats, of those that have some; each method has the repeats that all have."""
    found = {}
    for task, goal in GOALS.items():
        of_task = {method: read_repeats(path_of(folder, task, method), goal=goal) for method in methods}
        there = {method: repeats for method, repeats in of_task.items() if repeats}
        shared = set.intersection(*({one["seed"] for one in repeats} for repeats in there.values())) if there else set()
        for method, repeats in there.items():
            if shared:
                found[task, method] = [one for one in repeats if one["seed"] in shared]
    return found


def tables(searches: Searches, methods: Sequence[str]) -> str:
    """Markdown: a table for each aim, and the count of tasks on which half of random's labels are enough."""
    parts = []
    for aim in AIMS:
        found = f"Labels until {aim.name} {'is' if aim.part == 0 else 'are'} found:"
        parts += [found, _table(searches, methods, aim)]
    return "\n\n".join(parts) + "\n"


def _table(searches: Searches, methods: Sequence[str], aim: Aim) -> str:
    cards = TaskCards()
    rows = [["task", "goal", "repeats", "random", *(f"`{method}`" for method in methods)]]
    counts = dict.fromkeys(methods, 0)
    for task, goal in GOALS.items():
        cells, random, repeats = [], "", 0
        for method in methods:
            if (task, method) not in searches:
                cells.append("")
                continue
            found = needed(searches[task, method], aim)
            repeats, random = len(searches[task, method]), f"{found.labels / found.ratio:.0f}"
            counts[method] += found.ratio <= HALF
            cells.append(_cell(found))
        if repeats:
            rows.append([cards.of(task).title, goal, str(repeats), random, *cells])
    rows.append(
        ["at most half of random's", "", "", "", *(f"{counts[method]} of {len(rows) - 1}" for method in methods)]
    )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---|---|---:|---:|" + "---:|" * len(methods), *lines[1:]])


def _cell(found: Needed) -> str:
    return f"{found.labels:.0f} ({found.low:.0f} to {found.high:.0f}), {found.ratio:.0%}".replace("%", " %")
