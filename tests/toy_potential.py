"""A potential in closed form, for tests of what is computed with potentials."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from moe_mat.encoders import Potential
from moe_mat.graphs.radius import RadiusGraph

ANIONS = (8, 16)


class ToyPotential(Potential[RadiusGraph]):
    """Unlike atoms rest at the sum of their radii, in Morse's potential; oxygen and sulfur repel, and so do metals."""

    cutoff = 5.0

    def __init__(self, radii: dict[int, float]) -> None:
        self.radii = np.zeros(100)
        self.radii[list(radii)] = list(radii.values())

    @property
    def known_elements(self) -> Collection[int]:
        return np.flatnonzero(self.radii).tolist()

    def graph(self, bonds: RadiusGraph) -> RadiusGraph:
        return bonds

    def memory(self, graph: RadiusGraph, *, gradient: bool) -> int:
        return 100 * len(graph.centers)

    def energies(self, graphs: Sequence[RadiusGraph], vectors: Tensor) -> Tensor:
        ends = [(g.atomic_numbers[g.centers], g.atomic_numbers[g.neighbors]) for g in graphs]
        rests = [self.radii[centers] + self.radii[neighbors] for centers, neighbors in ends]
        unlike = [np.isin(centers, ANIONS) != np.isin(neighbors, ANIONS) for centers, neighbors in ends]
        lengths = vectors.norm(dim=1)
        decay = torch.exp(-1.5 * (lengths - torch.from_numpy(np.concatenate(rests))))
        of_bonds = decay**2 - 2 * decay * torch.from_numpy(np.concatenate(unlike))
        of_bonds = of_bonds * (1 - (lengths / self.cutoff) ** 2) ** 4
        cell = torch.from_numpy(np.repeat(np.arange(len(graphs)), [len(g.centers) for g in graphs]))
        return torch.zeros(len(graphs), dtype=vectors.dtype).index_add_(0, cell, of_bonds)
