"""One search: known crystals grow by batches until the best are found, or the budget is spent."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.campaigns.choosers import Chooser
from benchmarks.campaigns.problems import BATCH, BUDGET, START, Problem, Repeat
from benchmarks.cells.worker import provenance


def search(problem: Problem, chooser: Chooser) -> Repeat:
    """Search, and say after how many labels each of the best crystals was known.

    Returns:
        ``labels``: of the best crystals in their order, how many labels there were at the end of the batch in which
        they came, `None` where they did not; and what a result notes.
    """
    started = time.process_time()
    known = np.arange(START)
    labels: dict[int, int | None] = dict.fromkeys(problem.top.tolist()) | _found(problem, known)
    while len(known) + BATCH <= BUDGET and None in labels.values():
        rest = np.setdiff1d(np.arange(len(problem.targets)), known)
        known = np.concatenate([known, chooser.next_batch(problem, known, rest)])
        labels = {row: n or _found(problem, known).get(row) for row, n in labels.items()}
    return {
        "seed": problem.seed,
        "labels": [labels[row] for row in problem.top.tolist()],
        "n_share": problem.n_share,
        "pool": len(problem.targets),
        "processor_seconds": round(time.process_time() - started, 1),
        **provenance(),
    }


def _found(problem: Problem, known: np.ndarray) -> dict[int, int]:
    return {int(row): len(known) for row in problem.top if row in known}
