"""A batch out of a pool of candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from moe_mat.suggest.batches import best, correlations, diverse, drawn
from moe_mat.suggest.goals import Goal, Numbers, value_of
from moe_mat.suggest.settings import Acquisition, Batching


@dataclass(frozen=True)
class Wanted:
    """What is to be suggested.

    Attributes:
        goal: What is looked for.
        n: How many crystals.
        acquisition: What they are chosen by.
        batch: Whether they are to differ.

    Raises:
        ValueError: When these contradict each other.
    """

    goal: Goal
    n: int
    acquisition: Acquisition
    batch: Batching

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}: at least one crystal is suggested")
        if self.acquisition == "thompson" and not self.goal.needs_values:
            raise ValueError(
                f"Thompson sampling looks for values, and the goal is {self.goal}: name another of the two"
            )

    def bar(self, measured: Numbers) -> float:
        """The merit that is to be passed, from measured values ``[m]``; see `Goal.bar`."""
        return self.goal.bar(measured, 1) if self.goal.needs_values else math.nan


def choose(
    wanted: Wanted, mean: Numbers, std: Numbers, mixed: Tensor, *, bar: float, random: np.random.Generator
) -> tuple[list[int], Numbers]:
    """Choose a batch.

    Args:
        wanted: What is to be suggested.
        mean: Predictions ``[m]``.
        std: Their standard deviations ``[m]``.
        mixed: Mixed embeddings ``[m, width]``.
        bar: The merit that is to be passed, see `Goal.bar`.
        random: Draws of Thompson sampling.

    Returns:
        Rows in the order of choice, and what each was chosen by.
    """
    value = value_of(wanted.goal, wanted.acquisition, bar)
    if wanted.acquisition == "thompson":
        return drawn(wanted.goal, mean, std, correlations(mixed), wanted.n, random)
    if wanted.batch == "best":
        return best(value(mean, std), wanted.n)
    return diverse(value, mean, std, correlations(mixed), wanted.n)
