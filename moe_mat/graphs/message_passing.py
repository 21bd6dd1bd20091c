"""Batched graphs and the primitives of message passing, on DGL or, where it is absent or the device is a GPU, on torch.

The only place that imports DGL. Both backends give the same numbers (tests/test_message_passing.py).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from moe_mat.graphs.nearest_neighbors import CrystalGraph

# Without this, importing DGL writes a configuration file to the home folder and prints.
os.environ.setdefault("DGLBACKEND", "pytorch")
try:
    import dgl
    import dgl.function as dgl_function
except ImportError:  # no wheel for this Python or platform
    dgl = None

Backend = Literal["auto", "dgl", "torch"]


class GraphBatch(ABC):
    """Several crystals as one disconnected graph.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        distances: Edge lengths in Å ``[n_edges]``.
        crystal_of_node: Crystal index of each atom ``[n_atoms]``.
        n_crystals: Number of crystals.
        neighbors: Atom at the far end of each edge ``[n_edges]``, edges sorted by centre.
        degree: Number of edges of each atom if all have the same, else 0. Sums and gathers are then plain reshapes.
        derived: What encoders have computed from the batch alone, for other encoders to share.
    """

    atomic_numbers: Tensor
    distances: Tensor
    crystal_of_node: Tensor
    n_crystals: int
    neighbors: Tensor
    degree: int
    derived: dict[Hashable, Tensor]

    @abstractmethod
    def gather_add(self, of_center: Tensor, of_neighbor: Tensor) -> Tensor:
        """Sum of the values at both ends of each edge: two times ``[n_atoms, width]`` to ``[n_edges, width]``."""

    @abstractmethod
    def edge_sum(self, values: Tensor) -> Tensor:
        """Sum of the values on the edges of each centre: ``[n_edges, width]`` to ``[n_atoms, width]``."""

    @abstractmethod
    def node_mean(self, values: Tensor) -> Tensor:
        """Mean of the values of each crystal's atoms: ``[n_atoms, width]`` to ``[n_crystals, width]``."""

    @abstractmethod
    def to(self, device: torch.device | str) -> GraphBatch:
        """Move the batch to a device; on a GPU it is a `TorchBatch`."""


def _common_degree(centers: Tensor, n_atoms: int) -> int:
    n_edges = len(centers)
    if not n_edges or n_edges % n_atoms:
        return 0
    degree = n_edges // n_atoms
    expected = torch.arange(n_atoms, device=centers.device)[:, None]
    return degree if bool((centers.view(n_atoms, degree) == expected).all()) else 0


class TorchBatch(GraphBatch):
    """The primitives in plain torch.

    Args:
        atomic_numbers: ``[n_atoms]``.
        centers: ``[n_edges]``, ascending.
        neighbors: ``[n_edges]``.
        distances: ``[n_edges]``, Å.
        crystal_of_node: ``[n_atoms]``.
        n_crystals: Number of crystals.
        degree: Number of edges of each atom, see `GraphBatch`; counted where it is not given.
    """

    def __init__(
        self,
        atomic_numbers: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        distances: Tensor,
        crystal_of_node: Tensor,
        n_crystals: int,
        *,
        degree: int | None = None,
    ) -> None:
        self.atomic_numbers = atomic_numbers
        self.centers = centers
        self.neighbors = neighbors
        self.distances = distances
        self.crystal_of_node = crystal_of_node
        self.n_crystals = n_crystals
        self.degree = _common_degree(centers, len(atomic_numbers)) if degree is None else degree
        self.derived = {}

    def gather_add(self, of_center: Tensor, of_neighbor: Tensor) -> Tensor:  # noqa: D102
        at_neighbor = of_neighbor.index_select(0, self.neighbors)
        if self.degree:
            return (at_neighbor.view(-1, self.degree, of_center.shape[1]) + of_center[:, None]).flatten(0, 1)
        return at_neighbor + of_center.index_select(0, self.centers)

    def edge_sum(self, values: Tensor) -> Tensor:  # noqa: D102
        if self.degree:
            return values.view(-1, self.degree, values.shape[1]).sum(1)
        return values.new_zeros(len(self.atomic_numbers), values.shape[1]).index_add(0, self.centers, values)

    def node_mean(self, values: Tensor) -> Tensor:  # noqa: D102
        total = values.new_zeros(self.n_crystals, values.shape[1]).index_add(0, self.crystal_of_node, values)
        return total / torch.bincount(self.crystal_of_node, minlength=self.n_crystals)[:, None]

    def to(self, device: torch.device | str) -> TorchBatch:  # noqa: D102
        return TorchBatch(
            self.atomic_numbers.to(device),
            self.centers.to(device),
            self.neighbors.to(device),
            self.distances.to(device),
            self.crystal_of_node.to(device),
            self.n_crystals,
            degree=self.degree,  # to count again, the CPU would have to wait for the GPU
        )


class DGLBatch(GraphBatch):
    """The primitives on a batched DGL graph whose edges run from neighbour to centre.

    Args:
        graph: A batch of graphs from `to_dgl`.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.atomic_numbers = graph.ndata["atomic_number"]
        self.distances = graph.edata["distance"]
        self.n_crystals = graph.batch_size
        self.crystal_of_node = torch.repeat_interleave(torch.arange(graph.batch_size), graph.batch_num_nodes())
        self.neighbors, centers = graph.edges(order="eid")
        self.degree = _common_degree(centers, len(self.atomic_numbers))
        self.derived = {}

    def gather_add(self, of_center: Tensor, of_neighbor: Tensor) -> Tensor:  # noqa: D102
        with self.graph.local_scope():
            self.graph.srcdata["of_neighbor"] = of_neighbor
            self.graph.dstdata["of_center"] = of_center
            self.graph.apply_edges(dgl_function.u_add_v("of_neighbor", "of_center", "sum"))
            return self.graph.edata["sum"]

    def edge_sum(self, values: Tensor) -> Tensor:  # noqa: D102
        with self.graph.local_scope():
            self.graph.edata["values"] = values
            self.graph.update_all(dgl_function.copy_e("values", "message"), dgl_function.sum("message", "total"))
            return self.graph.ndata["total"]

    def node_mean(self, values: Tensor) -> Tensor:  # noqa: D102
        with self.graph.local_scope():
            self.graph.ndata["values"] = values
            return dgl.mean_nodes(self.graph, "values")

    def to(self, device: torch.device | str) -> GraphBatch:  # noqa: D102
        if torch.device(device).type == "cpu":
            return self
        neighbors, centers = self.graph.edges(order="eid")
        batch = TorchBatch(
            self.atomic_numbers,
            centers,
            neighbors,
            self.distances,
            self.crystal_of_node,
            self.n_crystals,
            degree=self.degree,
        )
        return batch.to(device)


def to_dgl(graph: CrystalGraph) -> Any:
    """One crystal's graph as a ``dgl.DGLGraph`` with ``ndata["atomic_number"]`` and ``edata["distance"]`` (Å).

    Raises:
        ImportError: When DGL is not installed.
    """
    if dgl is None:
        raise ImportError("DGL is not installed: it has wheels for Python 3.11 (pip install dgl==1.1.3)")
    result = dgl.graph((graph.neighbors, graph.centers), num_nodes=graph.n_atoms)
    result.ndata["atomic_number"] = torch.from_numpy(graph.atomic_numbers)
    result.edata["distance"] = torch.from_numpy(graph.distances)
    return result


def batch_graphs(graphs: Sequence[CrystalGraph], *, backend: Backend = "auto") -> GraphBatch:
    """Join crystals into one batch.

    Args:
        graphs: At least one graph.
        backend: ``"auto"`` takes DGL where it is installed and torch elsewhere; ``GraphBatch.to`` changes to torch for
            a GPU.

    Raises:
        ImportError: When DGL is asked for and not installed.
        ValueError: When there is no such backend.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, not {backend!r}")
    counts = np.array([graph.n_atoms for graph in graphs])
    offsets = np.cumsum(counts) - counts
    joined = CrystalGraph(
        np.concatenate([graph.atomic_numbers for graph in graphs]),
        np.concatenate([graph.centers + offset for graph, offset in zip(graphs, offsets, strict=True)]),
        np.concatenate([graph.neighbors + offset for graph, offset in zip(graphs, offsets, strict=True)]),
        np.concatenate([graph.distances for graph in graphs]),
    )
    if backend == "dgl" or (backend == "auto" and dgl is not None):
        # One graph from the joined arrays: twenty times faster than dgl.batch on small crystals.
        batched = to_dgl(joined)
        batched.set_batch_num_nodes(torch.from_numpy(counts))
        batched.set_batch_num_edges(torch.tensor([len(graph.centers) for graph in graphs]))
        return DGLBatch(batched)
    return TorchBatch(
        torch.from_numpy(joined.atomic_numbers),
        torch.from_numpy(joined.centers),
        torch.from_numpy(joined.neighbors),
        torch.from_numpy(joined.distances),
        torch.from_numpy(np.repeat(np.arange(len(graphs)), counts)),
        len(graphs),
    )
