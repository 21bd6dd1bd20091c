"""Crystals as the kernel head sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class SaidOfTarget(NamedTuple):
    """What is said of one target of some crystals.

    Attributes:
        mixed: Each gate's mixed embeddings ``[n, width]``.
        to_support: Covariance with the support by the gated kernel ``[n, n_support]``.
        of_learners: What each learner says, in the target's unit ``[n_learners, n]``.
        shares: Of the learners ``[n_learners]``.
    """

    mixed: list[Tensor]
    to_support: Tensor
    of_learners: Tensor
    shares: Tensor

    @property
    def values(self) -> Tensor:
        """The target in its unit ``[n]``."""
        return (self.shares[:, None] * self.of_learners).sum(0)


class TargetRows(NamedTuple):
    """The crystals that have a value of one target.

    Attributes:
        parts: Scaled embeddings, one ``[n, dim]`` an expert.
        mixed: Each gate's mixed embeddings ``[n, width]``.
        described: Columns of the descriptor kernel ``[n, width]``.
        targets: In their unit ``[n]``.
        outputs: Standardised ``[n]``.
        weights: How much they count ``[n]``; ``None`` where all are alike.
    """

    parts: list[Tensor]
    mixed: list[Tensor]
    described: Tensor
    targets: Tensor
    outputs: Tensor
    weights: Tensor | None = None

    def some(self, rows: Tensor) -> TargetRows:
        """Those of some rows ``[m]``."""
        parts, mixed = ([one[rows] for one in several] for several in (self.parts, self.mixed))
        weights = None if self.weights is None else self.weights[rows]
        return TargetRows(parts, mixed, self.described[rows], self.targets[rows], self.outputs[rows], weights)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the marginal likelihood sees of one target.

    Attributes:
        parts: Scaled embeddings, one ``[m, dim]`` an expert.
        distances: Squared distances in each expert's embedding ``[n_experts, m, m]``.
        outputs: Standardised targets without outliers ``[m]``.
        weights: How much they count ``[m]``; ``None`` where all are alike.
    """

    parts: list[Tensor]
    distances: Tensor
    outputs: Tensor
    weights: Tensor | None = None
