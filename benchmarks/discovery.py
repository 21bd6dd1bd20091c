"""How many labels it takes to find the best crystals of a task: ``python -m benchmarks.discovery --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.campaigns.choosers import Chooser, Forest, Mixture
from benchmarks.campaigns.problems import GOALS, Problem
from benchmarks.campaigns.results import RESULTS, add_repeat, path_of, read_repeats
from benchmarks.campaigns.search import search
from benchmarks.campaigns.table import read_searches, tables
from benchmarks.measurements.tools import say
from benchmarks.methods.cards import load_method
from moe_mat.files import write_text
from moe_mat.tasks import Task, TaskCards, read_task
from moe_mat.zoo import EmbeddingCache, embed, find_cards

METHODS = ("moe", "moe-strict", "rf-magpie")


def _parser() -> argparse.ArgumentParser:
    description = "Search for the best crystals of a task, batch after batch; what is there already is not repeated."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.discovery", description=description)
    parser.add_argument("--data", type=Path, help="folder of prepared data; by default MOE_MAT_DATA")
    parser.add_argument("--tasks", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["moe", "rf-magpie"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON files, which are gone on with")
    parser.add_argument("--table", action="store_true", help="search for nothing; print what is there as tables")
    parser.add_argument("--page", type=Path, help="with --table: Markdown file that gets the tables between its marks")
    return parser


def _embeddings(task: Task, experts: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    with EmbeddingCache() as cache:
        found = embed(find_cards(list(experts)), [task.structures[row] for row in rows], cache=cache)
    return np.concatenate(list(found.values.values()), axis=1)


def _chooser(method: str, task: Task, rows: NDArray[np.int64]) -> Chooser:
    experts = load_method(method).experts
    embeddings = _embeddings(task, experts, rows)
    return Forest(embeddings) if method == "rf-magpie" else Mixture(embeddings, list(experts))


def _insert(found: str, page: Path) -> None:
    before, first, rest = page.read_text(encoding="utf-8").partition("<!-- discovery tables -->\n")
    _, last, after = rest.partition("<!-- end of discovery tables -->\n")
    if not first or not last:
        raise ValueError(f"{page} has no marks for the tables")
    write_text(page, before + first + found + last + after)


def main(arguments: Sequence[str] | None = None) -> int:
    """Search with what has not searched yet, repeat after repeat, so that all tasks come on together."""
    options = _parser().parse_args(arguments)
    if options.table:
        found = tables(read_searches(options.output, options.methods), options.methods)
        if options.page is None:
            sys.stdout.write(found)
        else:
            _insert(found, options.page)
        return 0
    torch.set_num_threads(options.threads)
    cards = TaskCards()
    tasks = {name: read_task(cards.load(name), options.data) for name in options.tasks}
    for seed in range(options.repeats):
        for name, task in tasks.items():
            for method in options.methods:
                path, goal = path_of(options.output, name, method), GOALS[name]
                if seed in {one["seed"] for one in read_repeats(path, goal=goal)}:
                    continue
                problem = Problem.drawn(name, task.target, goal, seed)
                done = search(problem, _chooser(method, task, problem.rows))
                add_repeat(path, done, task=name, method=method, goal=goal)
                say(f"{method} {name} repeat {seed}: {done['labels']} ({done['processor_seconds']} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
