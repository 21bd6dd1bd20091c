"""What is searched for, among which crystals.

The five tasks and their goals were fixed before any was run. What `moe_mat.suggest` does by default was chosen on two
others, ``mp_eps_total`` and ``jarvis_2d_gap_opt``, each for its largest values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_mat.suggest import Goal

GOALS = {
    "mp_phonons": "max",
    "mp_dielectric": "max",
    "jarvis_2d_exfoliation": "min",
    "piezoelectric_tensor": "max",
    "mp_poisson_ratio": "min",
}
# Crystals of a repeat, drawn from those of the task; of these, labels at the start, in a batch, and at most.
POOL, START, BATCH, BUDGET = 600, 20, 20, 300
TOP, SHARE = 10, 0.01

Repeat = dict[str, Any]
"""What a search found, as JSON has it; see `benchmarks.campaigns.search.search`."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A pool of crystals whose values are known to the benchmark, and to a method as far as it has asked for them.

    Attributes:
        task: Where they are from.
        seed: Of the repeat: which crystals are in the pool, and which are known at the start.
        rows: Of the task ``[n]``; the first `START` are known at the start.
        targets: ``[n]``.
        goal: What is looked for.
    """

    task: str
    seed: int
    rows: NDArray[np.int64]
    targets: NDArray[np.float64]
    goal: Goal

    @classmethod
    def drawn(cls, task: str, targets: NDArray[np.float64], goal: str, seed: int) -> Problem:
        """The pool of a repeat, in a random order."""
        rows = np.random.default_rng(seed).permutation(len(targets))[:POOL]
        return cls(task, seed, rows, targets[rows], Goal.parse(goal))

    @cached_property
    def top(self) -> NDArray[np.int64]:
        """Rows of the pool that are the `TOP` best, the best first."""
        return np.argsort(-self.goal.merit(self.targets), kind="stable")[:TOP]

    @property
    def n_share(self) -> int:
        """How many of them are the best `SHARE` of the pool."""
        return max(1, round(SHARE * len(self.targets)))
