"""How many labels a search needs, and how many it would need at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns.problems import BUDGET, Repeat

N_DRAWS, LEVEL = 2000, 0.95


class Aim(NamedTuple):
    """What a search is to find.

    Attributes:
        name: For tables.
        of_share: Whether it is among the best share of the pool, and not the best ten.
        part: Of these, which share is to be found; 0 for the first of them.
    """

    name: str
    of_share: bool
    part: float


AIMS = (
    Aim("first of the top 1 %", True, 0.0),
    Aim("half of the top 1 %", True, 0.5),
    Aim("all of the top 1 %", True, 1.0),
    Aim("half of the top 10", False, 0.5),
    Aim("all of the top 10", False, 1.0),
)


class Needed(NamedTuple):
    """Labels of a method, the mean over repeats, with their interval at 95 %, and the same over those of random choice.

    Attributes:
        labels: Mean.
        low: Lower bound.
        high: Upper bound.
        ratio: To random choice.
        ratio_low: Lower bound.
        ratio_high: Upper bound.
        unfinished: Repeats whose budget was spent before.
    """

    labels: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    unfinished: int


def at_random(pool: int, top: int, wanted: int) -> float:
    """Labels that random choice without replacement needs in the mean to find so many of the best.

    Example:
        >>> at_random(99, 9, 9)
        90.0
    """
    return wanted * (pool + 1) / (top + 1)


def needed(repeats: Sequence[Repeat], aim: Aim) -> Needed:
    """How many labels some repeats need.

    A search that has spent its budget goes on at random: what that needs in the mean is added.
    """
    labels, random = (np.array(several) for several in zip(*(_of_repeat(one, aim) for one in repeats), strict=True))
    unfinished = int((labels > BUDGET).sum())
    draws = np.random.default_rng(0).integers(len(labels), size=(N_DRAWS, len(labels)))
    low, high = _bounds(labels[draws].mean(1))
    ratio_low, ratio_high = _bounds(labels[draws].mean(1) / random[draws].mean(1))
    mean = float(labels.mean())
    return Needed(mean, low, high, mean / float(random.mean()), ratio_low, ratio_high, unfinished)


def _of_repeat(repeat: Repeat, aim: Aim) -> tuple[float, float]:
    top = repeat["n_share"] if aim.of_share else len(repeat["labels"])
    wanted = max(1, round(aim.part * top))
    found = sorted(n for n in repeat["labels"][:top] if n is not None)
    random = at_random(repeat["pool"], top, wanted)
    if len(found) >= wanted:
        return float(found[wanted - 1]), random
    rest = at_random(repeat["pool"] - BUDGET, top - len(found), wanted - len(found))
    return BUDGET + rest, random


def _bounds(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
