"""What a model of oxides says of halides: ``python -m benchmarks.measurements.domain``.

Trained on oxides of the phonon task, it predicts others of them and all halides without oxygen. The table in
docs/intervals.md is what this prints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from benchmarks.measurements.tools import say
from moe_mat import MoERegressor
from moe_mat.tasks import TaskCards, read_task

TASK, SEEDS, TRAINED = "mp_phonons", (0, 1), 0.8
HALOGENS = {"F", "Cl", "Br", "I"}


def is_oxide(structure: Structure) -> bool:
    """Whether there is oxygen in it."""
    return "O" in structure.symbol_set


def is_halide(structure: Structure) -> bool:
    """Whether there is a halogen in it, and no oxygen."""
    return bool(HALOGENS & set(structure.symbol_set)) and not is_oxide(structure)


def main() -> int:
    """Print, for each random part of the oxides, error, coverage at 90 % and the share that is flagged."""
    task = read_task(TaskCards().load(TASK))
    y, structures = task.target, task.structures
    oxides, halides = (np.flatnonzero([wanted(one) for one in structures]) for wanted in (is_oxide, is_halide))

    def some(rows: Sequence[int] | np.ndarray) -> list[Structure]:
        return [structures[row] for row in rows]

    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(oxides)
        trained, others = np.split(order, [round(TRAINED * len(order))])
        model = MoERegressor(n_members=1, random_state=seed).fit(some(trained), y[trained])
        for name, rows in (("oxides", others), ("halides", halides)):
            predicted, lower, upper = model.predict(some(rows), interval=0.9)
            mae = np.abs(predicted - y[rows]).mean()
            held = ((lower <= y[rows]) & (y[rows] <= upper)).mean()
            outside = model.domain(some(rows))["outside"].mean()
            say(f"seed {seed}, trained on {len(trained)} oxides; {len(rows)} other {name}: MAE {mae:.4f}")
            say(f"  intervals at 90 % hold {held:.1%}, mean width {(upper - lower).mean():.3f}, outside {outside:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
