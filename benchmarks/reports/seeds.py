"""The appendix on seeds: how far the error of a method depends on its seed, and what a mean over seeds is worth."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from benchmarks.reports.bootstrap import Errors
from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, number
from benchmarks.reports.scores import Key

MEANING = (
    "Methods that were run with several seeds, all splits of each. A seed's error is its MAE, mean over splits; the "
    "deviation is that of the seeds from each other, not from what other training rows would give. Tables elsewhere "
    "have the mean over seeds. Together: the MAE of the mean of the seeds' predictions, which is what so many members "
    "of one model would have."
)


class OverSeeds(NamedTuple):
    """A method on a task; all in the target's unit.

    Attributes:
        maes: of each seed, mean over splits.
        together: MAE of the mean of the seeds' predictions, mean over splits.
    """

    maes: tuple[float, ...]
    together: float

    @property
    def mean(self) -> float:
        """Of the seeds' errors."""
        return fmean(self.maes)

    @property
    def deviation(self) -> float:
        """Standard deviation of the seeds' errors, relative to their mean."""
        return float(np.std(self.maes, ddof=1)) / max(self.mean, 1e-300)

    @property
    def gain(self) -> float:
        """Relative change from the mean of the errors to the error of the mean."""
        return self.together / max(self.mean, 1e-300) - 1


def over_seeds(errors: Errors) -> OverSeeds | None:
    """The errors of several seeds; None of one."""
    if len(errors.values) < 2:
        return None
    together = np.abs(errors.predictions.mean(axis=0) - errors.targets[:, None])
    maes = np.nanmean(errors.values, axis=1).mean(axis=1)  # [n_seeds]
    return OverSeeds(tuple(map(float, maes)), float(np.nanmean(together, axis=0).mean()))


def seeds(found: Findings, document: Document) -> None:
    """Sentences first, then a table a method."""
    by_method: dict[str, dict[str, OverSeeds]] = {}
    for method in found.methods:
        for task in found.tasks:
            errors = found.errors.get(Key(task, method))
            if errors is not None and (one := over_seeds(errors)) is not None:
                by_method.setdefault(method, {})[task] = one
    if not by_method:
        return
    document.add(MEANING, [_summary(method, list(of_tasks.values())) for method, of_tasks in by_method.items()])
    for method, of_tasks in by_method.items():
        document.add((2, f"`{method}`"), _table(found, of_tasks))


def _summary(method: str, tasks: Sequence[OverSeeds]) -> str:
    deviations = [one.deviation for one in tasks]
    return (
        f"`{method}`, {len(tasks)} tasks: seeds deviate by {fmean(deviations):.1%} in the mean, {max(deviations):.1%} "
        f"at most; the mean of their predictions has an error {fmean(one.gain for one in tasks):+.1%} from the mean of "
        f"theirs, lower on {sum(one.gain < 0 for one in tasks)}."
    )


def _table(found: Findings, of_tasks: dict[str, OverSeeds]) -> Table:
    rows = []
    for task, one in of_tasks.items():
        ends = f"{number(min(one.maes))} to {number(max(one.maes))}"
        together = f"{number(one.together)} ({one.gain:+.1%})"
        rows.append(
            [found.cards.of(task).title, str(len(one.maes)), number(one.mean), ends, f"{one.deviation:.1%}", together]
        )
    return Table(["task", "seeds", "MAE", "of single seeds", "deviation", "together"], rows)
