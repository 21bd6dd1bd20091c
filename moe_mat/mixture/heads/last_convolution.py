"""The published recipe: each CGCNN expert's last convolution is fine-tuned, everything before it is computed once."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.encoders import beside
from moe_mat.encoders.cgcnn import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from moe_mat.graphs.message_passing import GraphBatch, batch_graphs
from moe_mat.graphs.nearest_neighbors import CrystalGraph
from moe_mat.mixture.heads.tuned import TunedExperts
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.experts import EncoderExpert, Expert
from moe_mat.zoo.readout import activate

BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class PartialCrystal:
    """A crystal just before the last convolutions.

    Attributes:
        graph: Its neighbour graph.
        nodes: Atom features before the last convolution ``[n_atoms, n_experts, width]``.
    """

    graph: CrystalGraph
    nodes: Tensor


@dataclass(frozen=True, slots=True)
class PartialBatch:
    """Several `PartialCrystal` as one: ``nodes`` is ``[n_atoms, n_experts, width]`` over all of them."""

    graph: GraphBatch
    nodes: Tensor

    def to(self, device: torch.device | str) -> PartialBatch:
        """Move to a device."""
        return PartialBatch(self.graph.to(device), self.nodes.to(device))


def collate_partial(crystals: Sequence[PartialCrystal]) -> PartialBatch:
    """Join crystals into one batch."""
    return PartialBatch(batch_graphs([c.graph for c in crystals]), torch.cat([c.nodes for c in crystals]))


def encoder_and_readout(expert: Expert) -> tuple[CGCNNEncoder, Readout]:
    """Those of an expert whose last convolution can be trained.

    Raises:
        ValueError: When the expert is not a CGCNN that is read off its last convolution.
    """
    if not isinstance(expert, EncoderExpert) or not isinstance(expert.encoder, CGCNNEncoder):
        raise ValueError(f"expert {expert.tag} is not a CGCNN: its last convolution cannot be trained; leave it out")
    encoder, readout = expert.encoder, expert.card.readout
    if readout.layers != (f"conv{len(encoder.convs)}",) or readout.pooled_by != ("mean",):
        raise ValueError(f"expert {expert.tag} is not the mean of its last convolution: that cannot be trained")
    return encoder, readout


def partial_crystals(experts: Sequence[Expert], structures: Sequence[Structure]) -> Iterator[PartialCrystal]:
    """Run the experts up to their last convolution.

    Args:
        experts: CGCNN experts on the same graphs.
        structures: Checked crystals.

    Raises:
        ValueError: When the experts were trained on different graphs, or one has no last convolution.
    """
    encoders = [encoder_and_readout(expert)[0] for expert in experts]
    if len({(encoder.prepare_key, encoder.step, encoder.embedding.out_features) for encoder in encoders}) != 1:
        raise ValueError("experts on different neighbour graphs or of different widths cannot be fine-tuned together")
    for start in range(0, len(structures), BATCH_SIZE):
        graphs = [encoders[0].prepare(structure) for structure in structures[start : start + BATCH_SIZE]]
        with torch.no_grad():
            batch = beside(encoders[0], encoders[0].collate(graphs))
            nodes = torch.stack([list(encoder(batch).nodes.values())[-2] for encoder in encoders], dim=1).cpu()
        for graph, of_crystal in zip(graphs, nodes.split([graph.n_atoms for graph in graphs]), strict=True):
            yield PartialCrystal(graph, of_crystal.clone())


class LastConvolutions(TunedExperts):
    """Trainable copies of the experts' last convolutions. The experts themselves stay as they are.

    The copies' batch normalisation is trained with them, statistics included: with those of the source data, the
    fine-tuned layer learns several times more slowly.

    Args:
        experts: CGCNN experts on the same graphs.
    """

    edge_centers: Tensor

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        encoders, self.readouts = zip(*map(encoder_and_readout, experts), strict=True)
        self.step = encoders[0].step
        self.register_buffer("edge_centers", encoders[0].edge_centers.clone(), persistent=False)
        self.convolutions = nn.ModuleList(copy.deepcopy(list(encoder.convs)[-1]) for encoder in encoders)
        self.convolutions.requires_grad_(True)
        self.train()

    def forward(self, batch: PartialBatch, chosen: Collection[int]) -> dict[int, Tensor]:
        """Embeddings ``[n_crystals, width]`` of the chosen experts by index."""
        edges = gaussian_expansion(batch.graph.distances, self.edge_centers, self.step)
        embeddings = {}
        for index in chosen:
            convolution = self.convolutions[index]
            assert isinstance(convolution, CGCNNConvolution)
            pooled = batch.graph.node_mean(convolution(batch.nodes[:, index], batch.graph, edges))
            embeddings[index] = activate(pooled, self.readouts[index])
        return embeddings
