"""How much choices among alternatives owe to the tasks on which they were made: they are redone on half of the tasks.

Alternatives are sets of experts, heads, settings: methods with cells of the same tasks, splits and seeds. With m the
MAE of a cell, b the baseline and H a set of tasks,

* error of a on H, by validation or by test: mean over the tasks of H of the mean over a task's cells of
  m(a) / m(b) - 1;
* choice of H: the alternative whose error on H is lowest, the first of equals. By *validation* it is how one should
  choose, by *test* the worst that one could do;
* gain of a on H: minus its error by test, whichever way it was chosen, a fraction of the baseline's MAE;
* optimism of the halves A and B: gain on A of the choice of A, minus the gain of the same one on B; mean of both roles;
* regret: the highest gain of any alternative on B, minus the gain on B of the choice of A.

Were gains counted from another alternative r, as gain of a minus gain of r, the optimism would be the same: the gain of
r on A minus that on B changes its sign when the halves change roles. So it is that against the choice of all tasks too.

Optimism of an error that has chosen what it measures: B. Efron, "Estimating the error rate of a prediction rule", J.
Am. Stat. Assoc. 78, 316 (1983). Of a chosen model: G. C. Cawley and N. L. C. Talbot, "On over-fitting in model
selection and subsequent selection bias in performance evaluation", J. Mach. Learn. Res. 11, 2079 (2010). They part
rows; here tasks are parted, because what is chosen for some tasks is meant for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.cells.results import Result, is_finished

# Task, split and seed of a cell.
Key = tuple[str, int, int]
Criterion = Literal["validation", "test"]

# The smaller half has at least this share of the tasks: whole groups can seldom be halved evenly.
SMALLEST_HALF = 1 / 3
# With fewer tasks than this share of those of the fullest alternative, one would take too many from all others.
FEWEST_TASKS = 0.9
# Partitions of few groups are all drawn, of many groups enough.
N_DRAWN = 10_000


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Alternatives, the baseline first, on the cells that all of them have.

    Attributes:
        names: n_alternatives.
        tasks: n_tasks.
        errors: by validation and by test, [n_alternatives, n_tasks]: mean over a task's cells of the MAE over that of
            the baseline, minus one.
        results: the results that count.
        unshared: alternative -> its cells that do not count, because another one lacks them.
        too_few: alternatives left out, because they have few tasks -> these.
    """

    names: list[str]
    tasks: list[str]
    errors: dict[Criterion, np.ndarray]
    results: list[Result]
    unshared: dict[str, list[Key]]
    too_few: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A choice on one half of the tasks, judged by the other; gains are fractions of the baseline's MAE.

    Attributes:
        chosen: the alternative.
        gain: of it, on the half that chose it.
        gain_elsewhere: of it, on the other half.
        against_all: the latter, minus that of the choice of all tasks.
        regret: the highest gain on the other half, minus that of the chosen one.
    """

    chosen: str
    gain: float
    gain_elsewhere: float
    against_all: float
    regret: float

    @property
    def optimism(self) -> float:
        """By how much the chosen one looks better where it was chosen."""
        return self.gain - self.gain_elsewhere


@dataclass(frozen=True, slots=True)
class Redone:
    """A way of choosing, redone on halves of the tasks.

    Attributes:
        on_all: the choice of all tasks.
        gain_on_all: of it, on all tasks.
        outcomes: of each halving the choice of the first half and that of the second.
    """

    on_all: str
    gain_on_all: float
    outcomes: list[tuple[Outcome, Outcome]]

    @property
    def optimism(self) -> np.ndarray:
        """Of each halving, mean of both roles, [n_halvings]."""
        return np.array([(first.optimism + second.optimism) / 2 for first, second in self.outcomes])

    @property
    def flat(self) -> list[Outcome]:
        """The choices of all halves."""
        return [one for pair in self.outcomes for one in pair]


def collect(results: Sequence[Result], baseline: str) -> Alternatives:
    """The alternatives of some results.

    Cells with few labels and failed ones do not count. An alternative with less than nine tenths of the tasks of the
    fullest (the baseline aside) is left out.

    Args:
        results: of all alternatives, the baseline among them.
        baseline: name of a method.

    Raises:
        ValueError: the baseline has no result, there is nothing else to choose, or no cell that all have.
    """
    by_method: dict[str, dict[Key, Result]] = {}
    for result in results:
        if is_finished(result) and not result.get("n_labels"):
            key = result["task"], result["split"], result["seed"]
            by_method.setdefault(result["method"], {})[key] = result
    if baseline not in by_method or len(by_method) < 2:
        there = ", ".join(by_method) or "nothing"
        raise ValueError(f"needed are finished results of {baseline} and of others; there are those of {there}")
    tasks_of = {name: sorted({task for task, *_ in own}) for name, own in by_method.items()}
    fewest = FEWEST_TASKS * max(len(tasks) for name, tasks in tasks_of.items() if name != baseline)
    too_few = {name: tasks for name, tasks in tasks_of.items() if len(tasks) < fewest and name != baseline}
    names = [baseline, *sorted(by_method.keys() - too_few.keys() - {baseline})]
    shared = sorted(set.intersection(*(set(by_method[name]) for name in names)))
    if not shared:
        counts = ", ".join(f"{name} {len(by_method[name])}" for name in names)
        raise ValueError(f"no cell is one of all alternatives, which have: {counts}")
    tasks = sorted({task for task, *_ in shared})

    def errors(key: str) -> np.ndarray:
        ratios = np.array([[by_method[name][c][key] / by_method[baseline][c][key] for c in shared] for name in names])
        of_task = np.array([[task == other for other, *_ in shared] for task in tasks], dtype=float)
        return (ratios - 1) @ (of_task / of_task.sum(axis=1, keepdims=True)).T

    return Alternatives(
        names=names,
        tasks=tasks,
        errors={"validation": errors("val_mae"), "test": errors("test_mae")},
        results=[by_method[name][cell] for name in names for cell in shared],
        unshared={name: sorted(by_method[name].keys() - set(shared)) for name in names},
        too_few=too_few,
    )


def halve(groups: Sequence[str], *, n_halvings: int, seed: int) -> np.ndarray:
    """Random halvings of tasks that leave groups whole, none twice.

    They are drawn from the partitions in two whose smaller half has at least a third of the tasks; where there are
    fewer than asked for, these are all.

    Args:
        groups: of each task, n_tasks.
        n_halvings: how many.
        seed: of the draw.

    Returns:
        Which tasks are in the first half, bool [n_halvings, n_tasks].

    Raises:
        ValueError: the groups cannot be halved so.
    """
    generator = np.random.default_rng(seed)
    names, group_of_task = np.unique(np.asarray(groups), return_inverse=True)
    drawn = generator.random((N_DRAWN, len(names))) < 0.5
    # The same partition with its halves exchanged is no other one.
    partitions = np.unique(drawn ^ drawn[:, :1], axis=0)
    first = ~partitions[:, group_of_task]
    smaller = np.minimum(first.sum(axis=1), (~first).sum(axis=1))
    halvings = first[smaller / len(groups) >= SMALLEST_HALF]
    if not len(halvings):
        raise ValueError(f"{len(groups)} tasks of {len(names)} groups ({', '.join(names)}) cannot be halved")
    chosen = generator.choice(len(halvings), size=min(n_halvings, len(halvings)), replace=False)
    return np.asarray(halvings[chosen])


def redo(found: Alternatives, halvings: np.ndarray, criterion: Criterion) -> Redone:
    """Choose anew on each half, and judge the choice by the other.

    Args:
        found: the alternatives.
        halvings: which tasks are in the first half, bool [n_halvings, n_tasks].
        criterion: what is lowest of the chosen one.
    """
    by, gains = found.errors[criterion], 0.0 - found.errors["test"]
    on_all = int(by.mean(axis=1).argmin())

    def outcome(half: np.ndarray) -> Outcome:
        chosen = int(by[:, half].mean(axis=1).argmin())
        here, elsewhere = gains[:, half].mean(axis=1), gains[:, ~half].mean(axis=1)
        return Outcome(
            chosen=found.names[chosen],
            gain=float(here[chosen]),
            gain_elsewhere=float(elsewhere[chosen]),
            against_all=float(elsewhere[chosen] - elsewhere[on_all]),
            regret=float(elsewhere.max() - elsewhere[chosen]),
        )

    outcomes = [(outcome(first), outcome(~first)) for first in halvings]
    return Redone(found.names[on_all], float(gains[on_all].mean()), outcomes)
