"""CHGNet as a potential (Deng et al., Nat. Mach. Intell. 5, 1031, 2023)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from moe_mat.encoders.chgnet import CHGNetEncoder
from moe_mat.encoders.chgnet_graphs import ATOM_CUTOFF, NEAR_POLES, CHGNetGraph, chgnet_graph, chgnet_sample
from moe_mat.encoders.physics.potentials import Potential
from moe_mat.graphs.radius import RadiusGraph

ROW_BYTES, GRADIENT_ROW_BYTES = 6_000, 20_000  # a bond or an angle; for the gradient the messages are kept


class CHGNetPotential(Potential[CHGNetGraph]):
    """A checkpoint of CHGNet, with the weights that ship in the chgnet package.

    Args:
        model: One that `CHGNetEncoder` takes.

    Raises:
        ValueError: When there is no such model.
    """

    cutoff = ATOM_CUTOFF
    # Its stress does not rise evenly over strains of a per cent: slopes of smaller steps are those of its roughness.
    strain_step = 0.02
    displacement_step = 0.04

    def __init__(self, *, model: str = "0.3.0") -> None:
        self.encoder = CHGNetEncoder(model=model).eval()

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self.encoder.known_elements

    def graph(self, bonds: RadiusGraph) -> CHGNetGraph:  # noqa: D102
        return chgnet_graph(bonds)

    def memory(self, graph: CHGNetGraph, *, gradient: bool) -> int:  # noqa: D102
        return (GRADIENT_ROW_BYTES if gradient else ROW_BYTES) * (len(graph.bond) + len(graph.seen))

    def energies(self, graphs: Sequence[CHGNetGraph], vectors: Tensor) -> Tensor:  # noqa: D102
        batch = self.encoder.collate([chgnet_sample(graph) for graph in graphs])
        n_directed = np.array([len(graph.bond) for graph in graphs])
        first = np.cumsum(n_directed) - n_directed

        def joined(name: str) -> Tensor:
            of_graphs = [getattr(graph, name) + i for graph, i in zip(graphs, first, strict=True)]
            return torch.from_numpy(np.concatenate(of_graphs))

        lengths = vectors.norm(dim=1)
        directions = vectors / lengths[:, None]
        cosines = (directions[joined("looking")] * directions[joined("seen")]).sum(dim=1)
        batch = replace(
            batch,
            lengths=lengths[joined("one_of_two")].float(),
            angles=torch.arccos(cosines * NEAR_POLES).float(),
        )
        n_atoms = vectors.new_tensor(np.array([len(graph.bonds.atomic_numbers) for graph in graphs]))
        return self.encoder(batch).crystals["energy"][:, 0].double() * n_atoms
