"""All neighbours within a cutoff, with bond vectors: the graphs that foundation encoders see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.neighbours import neighbours_in
from moe_mat.crystals.sites import sites_of


@dataclass(frozen=True, slots=True)
class RadiusGraph:
    """The bonds of one crystal, sorted by centre. Each bond appears once from either end.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        centers: Atom that each bond starts from ``[n_bonds]``.
        neighbors: Atom that it points to ``[n_bonds]``.
        images: Cell of the neighbour, in lattice vectors ``[n_bonds, 3]``.
        vectors: From centre to neighbour, in Å and double precision ``[n_bonds, 3]``.
        centrosymmetric: Whether the crystal is known to have an inversion centre.
    """

    atomic_numbers: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    vectors: np.ndarray
    centrosymmetric: bool = False

    @property
    def lengths(self) -> np.ndarray:
        """Bond lengths in Å ``[n_bonds]``."""
        return np.linalg.norm(self.vectors, axis=1)


def radius_graph(structure: Structure, *, cutoff: float) -> RadiusGraph:
    """Connect every atom with all others within ``cutoff`` Å. An atom that has none keeps no bonds.

    Raises:
        UnsupportedCrystalError: When there are too many bonds.
    """
    sites = sites_of(structure)
    return radius_graph_of(sites.atomic_numbers, sites.lattice, sites.fractional, sites.positions, cutoff=cutoff)


def radius_graph_of(
    atomic_numbers: np.ndarray, lattice: np.ndarray, fractional: np.ndarray, positions: np.ndarray, *, cutoff: float
) -> RadiusGraph:
    """The same of bare arrays, which are faster made than a `Structure`.

    Args:
        atomic_numbers: ``[n_atoms]``.
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
        fractional: Positions in lattice vectors ``[n_atoms, 3]``.
        positions: The same in Å ``[n_atoms, 3]``.
        cutoff: Longest bond, in Å.

    Raises:
        UnsupportedCrystalError: When there are too many bonds.
    """
    centers, neighbors, images, _ = neighbours_in(lattice, fractional, positions, cutoff=cutoff)
    order = np.argsort(centers, kind="stable")
    centers, neighbors, images = centers[order], neighbors[order], images[order]
    # One subtraction in double precision: single precision sees the same bonds however the crystal is turned.
    vectors = (fractional[neighbors] + images - fractional[centers]) @ lattice
    return RadiusGraph(
        atomic_numbers.astype(np.int64),
        centers.astype(np.int64),
        neighbors.astype(np.int64),
        images.astype(np.int64),
        vectors,
    )


BYTES_A_BOND = 4000
BYTES_AN_ATOM = 80_000


def radius_graph_memory(graph: RadiusGraph) -> int:
    """Bytes, roughly, that equivariant message passing on a graph takes at its peak."""
    return BYTES_A_BOND * len(graph.centers) + BYTES_AN_ATOM * len(graph.atomic_numbers)


def pairs_of_bonds(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different directed bonds with the same centre; ``centers`` ``[n]`` is sorted."""
    first = np.searchsorted(centers, centers)
    n_same = np.searchsorted(centers, centers, side="right") - first
    looking = np.repeat(np.arange(len(centers)), n_same)
    within = np.arange(len(looking)) - np.repeat(np.cumsum(n_same) - n_same, n_same)
    seen = first[looking] + within
    different = looking != seen
    return looking[different], seen[different]


@dataclass(frozen=True, slots=True)
class RadiusBatch:
    """Several crystals as one disconnected graph.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        bonds: Centre and neighbour of each bond ``[2, n_bonds]``, sorted by centre.
        vectors: From centre to neighbour, in Å ``[n_bonds, 3]``.
        crystal_of_node: Crystal index of each atom ``[n_atoms]``.
        n_crystals: Number of crystals.
        centrosymmetric: Which of them are known to have an inversion centre ``[n_crystals]``.
    """

    atomic_numbers: Tensor
    bonds: Tensor
    vectors: Tensor
    crystal_of_node: Tensor
    n_crystals: int
    centrosymmetric: Tensor

    def to(self, device: torch.device | str) -> RadiusBatch:
        """Move the batch to a device."""
        return RadiusBatch(
            self.atomic_numbers.to(device),
            self.bonds.to(device),
            self.vectors.to(device),
            self.crystal_of_node.to(device),
            self.n_crystals,
            self.centrosymmetric.to(device),
        )


def batch_radius_graphs(graphs: list[RadiusGraph]) -> RadiusBatch:
    """Join graphs into one batch, in single precision."""
    n_atoms = np.array([len(graph.atomic_numbers) for graph in graphs])
    first_atom = np.cumsum(n_atoms) - n_atoms
    bonds = [
        np.stack([graph.centers, graph.neighbors]) + offset for graph, offset in zip(graphs, first_atom, strict=True)
    ]
    return RadiusBatch(
        atomic_numbers=torch.from_numpy(np.concatenate([graph.atomic_numbers for graph in graphs])),
        bonds=torch.from_numpy(np.concatenate(bonds, axis=1)),
        vectors=torch.from_numpy(np.concatenate([graph.vectors for graph in graphs])).float(),
        crystal_of_node=torch.from_numpy(np.repeat(np.arange(len(graphs)), n_atoms)),
        n_crystals=len(graphs),
        centrosymmetric=torch.tensor([graph.centrosymmetric for graph in graphs]),
    )
