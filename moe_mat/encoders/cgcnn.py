"""CGCNN: crystal graph convolutions (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018), factorised for speed."""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable
from functools import lru_cache
from pathlib import Path

import matminer.utils.data
import torch
import torch.nn.functional as F
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.adapter import Adapter
from moe_mat.encoders.base import Encoder, Features
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.message_passing import GraphBatch, batch_graphs
from moe_mat.graphs.nearest_neighbors import CrystalGraph, neighbor_graph
from moe_mat.graphs.ties import Ties


@lru_cache(maxsize=1)
def element_features() -> Tensor:
    """CGCNN's features of the elements, row ``Z``: ``[101, 92]``; all zero for an element that has none."""
    path = Path(matminer.utils.data.__file__).parent / "data_files" / "cgcnn_atom_feature.json"
    of_element = {int(number): values for number, values in json.loads(path.read_text()).items()}
    table = torch.zeros(max(of_element) + 1, len(next(iter(of_element.values()))))
    for number, values in of_element.items():
        table[number] = torch.tensor(values, dtype=torch.float32)
    return table


@lru_cache(maxsize=1)
def known_elements() -> frozenset[int]:
    """Atomic numbers of the elements that have features."""
    return frozenset(torch.nonzero(element_features().any(dim=1)).flatten().tolist())


# Atoms whose messages a frozen convolution computes at once.
BLOCK = 256


class CGCNNConvolution(nn.Module):
    """One convolution: ``h_i <- softplus(h_i + BN(sum_j sigmoid(z_ij) * softplus(z'_ij)))``.

    ``[z, z'] = BN(W [h_i, h_j, e_ij] + b)``. The product is computed as ``W_i h_i + W_j h_j`` per atom and ``W_e e_ij``
    per edge: the same numbers with about a third of the arithmetic. Parameter names are those of the published
    checkpoints.

    Args:
        width: Width of the atom features.
        edge_width: Width of the edge features.
        adapter: Width of the bottleneck of an adapter after the convolution; ``None`` for none.
    """

    def __init__(self, width: int, edge_width: int, *, adapter: int | None = None) -> None:
        super().__init__()
        self.width = width
        self.fc_full = nn.Linear(2 * width + edge_width, 2 * width)
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.bn2 = nn.BatchNorm1d(width)
        self.adapter = Adapter(width, adapter) if adapter is not None else None

    def forward(self, nodes: Tensor, batch: GraphBatch, edges: Tensor) -> Tensor:
        """Map atom features ``[n_atoms, width]`` and edge features ``[n_edges, edge_width]`` to new atom features."""
        weight: Tensor = self.fc_full.weight
        bias: Tensor = self.fc_full.bias
        folded = not self.bn1.training
        if folded:  # fixed statistics make the normalisation part of the matrix
            mean, variance = self.bn1.running_mean, self.bn1.running_var
            assert mean is not None
            assert variance is not None
            scale = self.bn1.weight * torch.rsqrt(variance + self.bn1.eps)
            weight = weight * scale[:, None]
            bias = (bias - mean) * scale + self.bn1.bias
        w_center, w_neighbor, w_edge = weight.split([self.width, self.width, edges.shape[1]], dim=1)
        at_center, at_neighbor = F.linear(nodes, w_center, bias), F.linear(nodes, w_neighbor)
        if folded and batch.degree and not torch.is_grad_enabled() and nodes.device.type == "cpu":
            messages = _messages_in_blocks(at_center, at_neighbor, edges, w_edge, batch)
        else:
            z = torch.addmm(batch.gather_add(at_center, at_neighbor), edges, w_edge.t())
            gate, core = (z if folded else self.bn1(z)).chunk(2, dim=1)
            messages = batch.edge_sum(gate.sigmoid() * F.softplus(core))
        convolved = F.softplus(nodes + self.bn2(messages))
        return convolved if self.adapter is None else self.adapter(convolved)


def _messages_in_blocks(
    at_center: Tensor, at_neighbor: Tensor, edges: Tensor, w_edge: Tensor, batch: GraphBatch
) -> Tensor:
    """Summed messages ``[n_atoms, width]`` of a frozen convolution.

    The same sums as in `CGCNNConvolution.forward`, but some atoms at a time and in place: what a block touches stays in
    the processor's cache, which makes frozen experts about half as fast again.
    """
    n_atoms, width, degree = len(at_center), at_center.shape[1] // 2, batch.degree
    halves = [
        (at_center[:, half].contiguous(), at_neighbor[:, half].contiguous(), w_edge[half].t().contiguous())
        for half in (slice(0, width), slice(width, None))
    ]
    work = at_center.new_empty(3, BLOCK * degree, width)
    messages = at_center.new_empty(n_atoms, width)
    for start in range(0, n_atoms, BLOCK):
        atoms, of_edges = slice(start, start + BLOCK), slice(start * degree, (start + BLOCK) * degree)
        neighbors = batch.neighbors[of_edges]
        gate, core, softplus = work[:, : len(neighbors)].unbind(0)
        for z, (center, neighbor, w) in zip((gate, core), halves, strict=True):
            torch.index_select(neighbor, 0, neighbors, out=z)
            z.addmm_(edges[of_edges], w)
            z.view(-1, degree, width).add_(center[atoms, None])
        # F.softplus takes no buffer to write to, and the stubs do not know that this does.
        torch._C._nn.softplus(core, out=softplus)  # type: ignore[call-arg]
        gate.sigmoid_().mul_(softplus)
        torch.sum(gate.view(-1, degree, width), 1, out=messages[atoms])
    return messages


def gaussian_expansion(distances: Tensor, centers: Tensor, step: float) -> Tensor:
    """Distances ``[n]`` in Å as Gaussians ``exp(-((d - center) / step)^2)``: ``[n, n_centers]``."""
    scaled = (distances[:, None] - centers).div_(step)
    return scaled.square_().neg_().exp_()  # in place: these are the largest arrays of a batch


@register_encoder("cgcnn")
class CGCNNEncoder(Encoder):
    """CGCNN on 12-neighbour graphs, with the published sizes by default.

    Args:
        width: Width of the atom features.
        n_convolutions: Number of convolutions.
        cutoff: Largest neighbour distance in Å.
        max_neighbors: Largest number of neighbours.
        ties: Rule for equally distant neighbours at the cut, see `moe_mat.graphs.neighbor_graph`.
        pad: Pad missing neighbours as the published experts do.
        step: Spacing and width of the Gaussian edge features, in Å.
        adapter: Width of the bottleneck of an adapter after each convolution; ``None`` for none.
    """

    moves = True
    elements: Tensor
    edge_centers: Tensor

    def __init__(
        self,
        *,
        width: int = 64,
        n_convolutions: int = 4,
        cutoff: float = 8.0,
        max_neighbors: int = 12,
        ties: Ties = "canonical",
        pad: bool = False,
        step: float = 0.2,
        adapter: int | None = None,
    ) -> None:
        super().__init__()
        self.cutoff, self.max_neighbors, self.ties, self.pad = cutoff, max_neighbors, ties, pad
        self.step = step
        centers = torch.arange(0, cutoff + step / 2, step)
        self.register_buffer("elements", element_features(), persistent=False)
        self.register_buffer("edge_centers", centers, persistent=False)
        self.embedding = nn.Linear(element_features().shape[1], width)
        self.convs = nn.ModuleList(
            CGCNNConvolution(width, len(centers), adapter=adapter) for _ in range(n_convolutions)
        )

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        width = self.embedding.out_features
        return {"embedding": width} | {f"conv{i}": width for i in range(1, len(self.convs) + 1)}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("cgcnn", self.cutoff, self.max_neighbors, self.ties, self.pad)

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return known_elements()

    def prepare(self, structure: Structure) -> CrystalGraph:  # noqa: D102
        check_elements(structure, known=known_elements(), encoder="CGCNN")
        return neighbor_graph(
            structure, cutoff=self.cutoff, max_neighbors=self.max_neighbors, ties=self.ties, pad=self.pad
        )

    def collate(self, samples: list[CrystalGraph]) -> GraphBatch:  # noqa: D102
        return batch_graphs(samples)

    def edge_features(self, batch: GraphBatch) -> Tensor:
        """Gaussian expansion of the edge lengths: ``[n_edges, 41]`` with the published settings."""
        key = ("gaussian_expansion", self.step, len(self.edge_centers))
        if key not in batch.derived:
            batch.derived[key] = gaussian_expansion(batch.distances, self.edge_centers, self.step)
        return batch.derived[key]

    def forward(self, batch: GraphBatch) -> Features:  # noqa: D102
        edges = self.edge_features(batch)
        nodes = self.embedding(self.elements[batch.atomic_numbers])
        layers = {"embedding": nodes}
        for i, convolution in enumerate(self.convs, start=1):
            nodes = convolution(nodes, batch, edges)
            layers[f"conv{i}"] = nodes
        return Features(layers, batch.crystal_of_node, batch.n_crystals)
