"""Distances between crystals in a mixed embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule

# Crystals whose distances to others are in memory at once, and the most distances.
CHUNK, MOST_DISTANCES = 2000, 20_000_000


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances: ``[n, d]`` and ``[m, d]`` to ``[n, m]``."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """Distance of each crystal to the nearest of others ``[n]``, from mixed embeddings ``[n, d]`` and ``[m, d]``."""
    return torch.cat([squared_distances(chunk, b).min(1).values.sqrt() for chunk in a.split(_chunk(len(b)))])


def nearest_other(a: Tensor) -> Tensor:
    """Distance of each crystal to the nearest other ``[n]``, from mixed embeddings ``[n, d]``; infinite if alone."""
    found, size = [], _chunk(len(a))
    for number, chunk in enumerate(a.split(size)):
        squared = squared_distances(chunk, a)
        squared.diagonal(number * size).fill_(torch.inf)
        found.append(squared.min(1).values.sqrt())
    return torch.cat(found)


def distances_memory(n_others: int) -> float:
    """Bytes that distances to so many crystals take at once, with what they are made of."""
    return 12.0 * n_others * _chunk(n_others)


def _chunk(n_others: int) -> int:
    return min(CHUNK, max(1, MOST_DISTANCES // max(1, n_others)))


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
