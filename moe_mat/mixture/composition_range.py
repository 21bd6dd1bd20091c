"""Whether a composition is unlike all that a model has learned from.

The gate cannot weigh what never varied: a model of oxides does not know what a crystal without oxygen is. So the
composition's statistics are compared with the range that they had in the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule
from moe_mat.zoo.cards import EncoderCard, ExpertCard

# Share of the training crystals, each judged by the others, that are within their range; and an excess, the mean over
# statistics in units of their range, up to which any is: of many crystals hardly one is alone at an end.
WITHIN, TOLERATED = 0.98, 0.003
# Multiple of the excess that the others have, at which a composition is as strange as can be.
STRANGEST = 8.0


def knows_composition_alone(card: ExpertCard) -> bool:
    """Whether the columns of an expert are statistics of the composition."""
    return (
        isinstance(card, EncoderCard) and card.encoder == "descriptors" and list(card.readout.layers) == ["composition"]
    )


class CompositionRange(GrowingModule):
    """Lowest and highest statistics of the compositions of the training.

    Args:
        cards: Of the experts; without one that knows the composition alone, no crystal is beyond.

    Attributes:
        low: Of each statistic ``[width]``; empty where there is none.
        high: Of each statistic ``[width]``.
        limit: Excess from which on a composition is beyond the range.
    """

    low: Tensor
    high: Tensor
    limit: Tensor

    def __init__(self, cards: Sequence[ExpertCard]) -> None:
        super().__init__()
        known = [torch.full((card.dim,), knows_composition_alone(card)) for card in cards]
        self.columns = torch.cat(known).nonzero()[:, 0]
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("limit", torch.tensor(torch.inf))

    def fit(self, embeddings: Iterable[Tensor]) -> None:
        """Set the range from crystals of the training, some at a time ``[n, sum(dims)]``."""
        values = torch.cat([some[:, self.columns] for some in embeddings])
        if len(values) < 2 or not values.shape[1]:
            return
        ordered = values.sort(0).values
        self.low, self.high = ordered[0].clone(), ordered[-1].clone()
        # Without itself, a crystal is outside where it alone has the lowest or the highest value.
        low, high = (
            torch.where(values == ordered[end], ordered[after], ordered[end]) for end, after in ((0, 1), (-1, -2))
        )
        self.limit = self._excess(values, low, high).quantile(WITHIN).clamp_min(TOLERATED)

    def _excess(self, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """How far crystals are beyond the range, in units of it, at most 1 each, the mean over statistics ``[n]``."""
        width = (self.high - self.low).clamp_min(1e-6)
        return (((low - values).clamp_min(0) + (values - high).clamp_min(0)) / width).clamp_max(1).mean(1)

    def beyond(self, embeddings: Tensor) -> Tensor:
        """How far crystals ``[n, sum(dims)]`` are beyond the range: 0 within, 1 where it cannot be more ``[n]``."""
        if not len(self.low):
            return torch.zeros(len(embeddings))
        ratio = self._excess(embeddings[:, self.columns], self.low, self.high) / self.limit
        return (ratio.clamp_min(1).log() / math.log(STRANGEST)).clamp_max(1)
