"""Distances between crystals in a mixed embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule

# Crystals whose distances are in memory at once.
CHUNK = 2000


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances: ``[n, d]`` and ``[m, d]`` to ``[n, m]``."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """Distance of each crystal to the nearest of others ``[n]``, from mixed embeddings ``[n, d]`` and ``[m, d]``."""
    return torch.cat([squared_distances(chunk, b).min(1).values.sqrt() for chunk in a.split(CHUNK)])


def nearest_other(a: Tensor) -> Tensor:
    """Distance of each crystal to the nearest other ``[n]``, from mixed embeddings ``[n, d]``; infinite if alone."""
    found = []
    for start, chunk in enumerate(a.split(CHUNK)):
        squared = squared_distances(chunk, a)
        squared.diagonal(start * CHUNK).fill_(torch.inf)
        found.append(squared.min(1).values.sqrt())
    return torch.cat(found)


class Reference(GrowingModule):
    """Crystals that distances are measured from.

    Attributes:
        mixed: Their mixed embeddings ``[n, width]``; empty where a head measures otherwise.
    """

    mixed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mixed", torch.zeros(0, 0))

    def distances(self, mixed: Tensor) -> Tensor:
        """Of crystals ``[n, width]`` to the nearest of these ``[n]``; NaN before there are any."""
        if not len(self.mixed):
            return mixed.new_full((len(mixed),), torch.nan)
        return nearest(mixed, self.mixed)

    def leave_one_out(self) -> Tensor:
        """Of each of these to the nearest other ``[n]``."""
        return nearest_other(self.mixed)
