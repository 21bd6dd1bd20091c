"""How far a crystal is from those that a model has learned from.

The measure is the distance to the nearest of them in the mixed embedding, as a percentile of the same distance of the
crystals of the training from each other, each left out in its turn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule


class Domain(GrowingModule):
    """The distances of the training crystals of one target from each other.

    Attributes:
        distances: Of each to the nearest other, in order ``[n]``; empty where that is not known.
    """

    distances: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("distances", torch.zeros(0))

    def fit(self, distances: Tensor) -> None:
        """Set the distances of the training crystals to their nearest others ``[n]``."""
        self.distances = distances[distances.isfinite()].sort().values

    def percentile(self, distances: Tensor) -> Tensor:
        """Share of the training crystals, in per cent, that are nearer to the others than crystals are ``[n]``.

        NaN where there is nothing to compare with.
        """
        if not len(self.distances):
            return torch.full_like(distances, torch.nan)
        return 100 * torch.searchsorted(self.distances, distances.contiguous()) / len(self.distances)
