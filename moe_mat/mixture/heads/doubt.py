"""What a kernel head thinks of its own errors: the signs by which intervals are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from moe_mat.mixture.distances import nearest
from moe_mat.mixture.heads.ensemble import select
from moe_mat.mixture.heads.learners import TargetColumn
from moe_mat.mixture.inner_folds import folds
from moe_mat.mixture.predicted import Predicted

# Least deviation of the process and of the learners, in units of the target's spread: what is less is no sign.
LEAST = (1e-3, 3e-3)


class Doubt(NamedTuple):
    """What is said of one target of crystals that were not learned from.

    Attributes:
        of_learners: By each learner, in the target's unit ``[n_learners, n]``.
        shares: Of the learners ``[n_learners, n]``, or ``[n_learners, 1]``.
        deviation: The process's standard deviation of a new measurement, standardised ``[n]``.
        distances: To the nearest crystal that was learned from, in units of the process's length scales ``[n]``.
    """

    of_learners: Tensor
    shares: Tensor
    deviation: Tensor
    distances: Tensor

    def predicted(self, target: TargetColumn) -> Predicted:
        """Values ``[n]``; logarithms of process's and learners' deviation in the unit ``[n, 2]``; distances ``[n]``."""
        transform, column = target.transform, target.column
        values = (self.shares * self.of_learners).sum(0)
        outputs = transform.of(values, column)
        high, low = (transform.inverse_of(outputs + sign * self.deviation, column) for sign in (1, -1))
        among_learners = (self.shares * (self.of_learners - values).square()).sum(0).sqrt()
        least = torch.tensor(LEAST) * transform.spread[column]
        signs = (torch.stack([(high - low) / 2, among_learners], dim=1) + least).log()
        return Predicted(values, signs, self.distances)


@torch.no_grad()
def out_of_fold_doubt(
    target: TargetColumn,
    covariance: Tensor,
    mixed: Sequence[Tensor],
    predicted: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
) -> Doubt:
    """The same of crystals in cross-validation, each by what the other folds know, from which the shares come as well.

    Args:
        target: With the process that has learned the kernel.
        covariance: Of the crystals ``[n, n]``.
        mixed: Each gate's mixed embeddings ``[n, width]``.
        predicted: What each learner says of them by the other folds ``[n_learners, n]``.
        targets: Their values ``[n]``.
        weights: How much they count ``[n]``.
    """
    process, squared = target.process, target.transform.of_indicators
    gated = process.gated(mixed)
    deviation, distances, shares = torch.empty(len(gated)), torch.empty(len(gated)), torch.empty_like(predicted)
    for held, kept in folds(len(gated)):
        of_kept = None if weights is None else weights[kept]
        factor = process.factorise(covariance[kept][:, kept], weights=of_kept)
        deviation[held] = process.deviation(factor, covariance[held][:, kept])
        distances[held] = nearest(gated[held], gated[kept])
        shares[:, held] = select(predicted[:, kept], targets[kept], of_kept, squared=squared)[:, None]
    return Doubt(predicted, shares, deviation, distances)
