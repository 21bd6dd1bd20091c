"""SevenNet as a potential (Park et al., J. Chem. Theory Comput. 20, 4857, 2024)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from moe_mat.encoders.physics.potentials import Potential
from moe_mat.encoders.sevennet import SevenNetEncoder
from moe_mat.graphs.radius import RadiusGraph, batch_radius_graphs, radius_graph_memory

# Bytes a bond that the gradient takes, because the messages of all layers are kept.
GRADIENT_MEMORY = {"7net-0": 100_000, "7net-l3i5": 250_000, "7net-mf-0": 100_000}


class SevenNetPotential(Potential[RadiusGraph]):
    """A checkpoint of SevenNet, with the weights that ship in the sevenn package.

    Args:
        checkpoint: One that `SevenNetEncoder` takes.

    Raises:
        ValueError: When there is no such checkpoint in the package.
    """

    def __init__(self, *, checkpoint: str = "7net-0") -> None:
        self.encoder = SevenNetEncoder(checkpoint=checkpoint).only(["energy"]).eval()
        self.cutoff = self.encoder.cutoff

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self.encoder.known_elements

    def graph(self, bonds: RadiusGraph) -> RadiusGraph:  # noqa: D102
        return bonds

    def memory(self, graph: RadiusGraph, *, gradient: bool) -> int:  # noqa: D102
        energy = radius_graph_memory(graph)
        return energy + len(graph.centers) * GRADIENT_MEMORY[self.encoder.checkpoint] if gradient else energy

    def energies(self, graphs: Sequence[RadiusGraph], vectors: Tensor) -> Tensor:  # noqa: D102
        batch = replace(batch_radius_graphs(list(graphs)), vectors=vectors.float())
        n_atoms = vectors.new_tensor(np.array([len(graph.atomic_numbers) for graph in graphs]))
        return self.encoder(batch).crystals["energy"][:, 0].double() * n_atoms
