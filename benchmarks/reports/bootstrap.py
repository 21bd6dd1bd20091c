"""Intervals of MAEs by the bootstrap over crystals.

Splits of one task overlap: a crystal that one split tests is a training crystal of the others, and may be tested again.
So neither the splits nor their test rows are independent draws; the crystals are. Each draw takes as many crystals as
there are, with replacement, and a crystal that is drawn twice counts twice in every split that tests it. Of several
seeds, as many are drawn with replacement too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells.results import Result

N_DRAWS = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """The middle `LEVEL` of the draws, in the target's unit."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Errors:
    """What a method got wrong on a task.

    Attributes:
        ids: Of the crystals that some split tests, sorted.
        values: Absolute errors ``[n_seeds, n_crystals, n_splits]``; NaN where a split does not test a crystal.
        targets: ``[n_crystals]``.
        predictions: ``[n_seeds, n_crystals, n_splits]``.
    """

    ids: tuple[str, ...]
    values: NDArray[np.float64]
    targets: NDArray[np.float64]
    predictions: NDArray[np.float64]

    @property
    def pooled(self) -> NDArray[np.float64]:
        """The errors of all test rows of all splits and seeds ``[n_rows]``."""
        return self.values[np.isfinite(self.values)]

    @property
    def by_crystal(self) -> NDArray[np.float64]:
        """Mean error of each crystal over the splits that test it, and over seeds ``[n_crystals]``."""
        return np.asarray(np.nanmean(self.values, axis=(0, 2)))


def errors_of(results: Sequence[Result]) -> Errors | None:
    """The errors of the results of a method on a task, all splits of each seed; None where some have no predictions."""
    if not results or any("predictions" not in result for result in results):
        return None
    targets = {name: value for one in results for name, value in zip(one["ids"], one["targets"], strict=True)}
    ids = tuple(sorted(targets))
    row = {name: number for number, name in enumerate(ids)}
    seeds, splits = (sorted({one[key] for one in results}) for key in ("seed", "split"))
    predictions = np.full((len(seeds), len(ids), len(splits)), np.nan)
    for one in results:
        rows = [row[name] for name in one["ids"]]
        predictions[seeds.index(one["seed"]), rows, splits.index(one["split"])] = one["predictions"]
    true = np.array([targets[name] for name in ids])
    return Errors(ids, np.abs(predictions - true[None, :, None]), true, predictions)


def interval(errors: Errors) -> Interval:
    """Of the MAE, the mean over splits of their mean absolute errors."""
    return _middle(_resampled(errors))


def difference(ours: Errors, theirs: Errors) -> Interval | None:
    """Of the MAE of ours minus that of theirs, on the same draws; None where the two were tested on other crystals."""
    if ours.ids != theirs.ids or not np.array_equal(_tested(ours), _tested(theirs)):
        return None
    return _middle(_resampled(ours) - _resampled(theirs))


def _tested(errors: Errors) -> NDArray[np.bool_]:
    """Which crystal each split tests ``[n_crystals, n_splits]``."""
    return np.isfinite(errors.values[0])


def _middle(draws: NDArray[np.float64]) -> Interval:
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@cache
def _counts(n_crystals: int) -> NDArray[np.uint8]:
    """How often each draw has each crystal ``[n_draws, n_crystals]``: the same draws for all methods of a task."""
    random = np.random.default_rng(0)
    return random.multinomial(n_crystals, np.full(n_crystals, 1 / n_crystals), size=N_DRAWS).astype(np.uint8)


@cache
def _resampled(errors: Errors) -> NDArray[np.float64]:
    """The MAE of each draw ``[n_draws]``."""
    counts, n_seeds = _counts(len(errors.ids)).astype(float), len(errors.values)
    of_seeds = np.random.default_rng(1).multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=N_DRAWS) / n_seeds
    sums = np.stack([counts @ np.nan_to_num(of_seed) for of_seed in errors.values])  # [n_seeds, n_draws, n_splits]
    rows = counts @ _tested(errors)
    # Of a handful of crystals a draw may have none of a split's.
    maes = np.divide(np.einsum("ds,sdk->dk", of_seeds, sums), rows, out=np.full(rows.shape, np.nan), where=rows > 0)
    return np.asarray(np.nanmean(maes, axis=1))
