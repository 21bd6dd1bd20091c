"""Distances between crystals in a mixed embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule

# Crystals whose distances to others are in memory at once, and the most distances.
CHUNK, MOST_DISTANCES = 2000, 20_000_000
# Crystals whose pairs are compared at once, of those that are compared with each other.
BLOCK = 1024


def of_pairs(compare: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """What a symmetric comparison says of pairs: ``[n, d]`` and ``[m, d]`` to ``[n, m]``.

    Where both are the same tensor, each pair is compared once.

    Args:
        compare: Does the same for rows of both.
        a: Rows.
        b: Rows.
    """
    if a is not b or len(a) <= BLOCK:
        return compare(a, b)
    found = a.new_empty(len(a), len(a))
    for one, other in _blocks(len(a)):
        found[one, other] = block = compare(a[one], a[other])
        if one != other:
            found[other, one] = block.T
    return found


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances: ``[n, d]`` and ``[m, d]`` to ``[n, m]``."""
    return of_pairs(_squared_distances, a, b)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)


def _blocks(n: int) -> Iterator[tuple[slice, slice]]:
    """Pairs of ranges of rows, each pair once."""
    ranges = [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    return ((one, other) for i, one in enumerate(ranges) for other in ranges[i:])


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """Distance of each crystal to the nearest of others ``[n]``, from mixed embeddings ``[n, d]`` and ``[m, d]``."""
    return torch.cat([squared_distances(chunk, b).min(1).values.sqrt() for chunk in a.split(_chunk(len(b)))])


def nearest_other(a: Tensor) -> Tensor:
    """Distance of each crystal to the nearest other ``[n]``, from mixed embeddings ``[n, d]``; infinite if alone."""
    least = a.new_full((len(a),), torch.inf)
    for one, other in _blocks(len(a)):
        squared = _squared_distances(a[one], a[other])
        if one == other:
            squared.fill_diagonal_(torch.inf)
        else:
            least[other] = least[other].minimum(squared.min(0).values)
        least[one] = least[one].minimum(squared.min(1).values)
    return least.sqrt()


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
