"""Standardised embeddings, by constants of the training rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardisation(nn.Module):
    """``(x - mean) / std`` of each feature, cut where a crystal is unlike any in training.

    Args:
        width: Number of features.
        limit: Standard deviations at which values are cut: a strange crystal stays in sight, and drowns nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, *, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit(self, embeddings: Tensor) -> None:
        """Set the constants from training embeddings ``[n, width]``."""
        self.mean.copy_(embeddings.mean(0))
        std = embeddings.std(0, correction=0)
        # A feature that is constant in training says nothing; dividing by its noise would make it shout later.
        self.std.copy_(torch.where(std > 1e-6 * (1 + self.mean.abs()), std, torch.inf))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Standardise ``[n, width]``."""
        return ((embeddings - self.mean) / self.std).clamp(-self.limit, self.limit)
