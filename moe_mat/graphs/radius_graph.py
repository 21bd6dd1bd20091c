"""All neighbours within a cutoff, with bond vectors: the graphs that foundation encoders see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.errors import UnsupportedCrystalError


@dataclass(frozen=True, slots=True)
class RadiusGraph:
    """The bonds of one crystal, sorted by centre. Each bond appears once from either end.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        centers: Atom that each bond starts from ``[n_bonds]``.
        neighbors: Atom that it points to ``[n_bonds]``.
        images: Cell of the neighbour, in lattice vectors ``[n_bonds, 3]``.
        vectors: From centre to neighbour, in Å and double precision ``[n_bonds, 3]``.
    """

    atomic_numbers: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    images: np.ndarray
    vectors: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Bond lengths in Å ``[n_bonds]``."""
        return np.linalg.norm(self.vectors, axis=1)


def known_atomic_numbers(structure: Structure, *, known: Collection[int], encoder: str) -> np.ndarray:
    """Atomic numbers of all sites ``[n_atoms]``.

    Raises:
        UnsupportedCrystalError: When an element is not among ``known``; names the element and its first site.
    """
    atomic_numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    for i, number in enumerate(atomic_numbers.tolist()):
        if number not in known:
            symbol = structure[i].specie.symbol
            raise UnsupportedCrystalError(
                f"element {symbol} (site {i}) is not among the {len(known)} elements of {encoder}; "
                "leave this crystal out or leave this expert out"
            )
    return atomic_numbers


def radius_graph(structure: Structure, *, cutoff: float, known: Collection[int], encoder: str) -> RadiusGraph:
    """Connect every atom with all others within ``cutoff`` Å. An atom that has none keeps no bonds.

    Raises:
        UnsupportedCrystalError: When an element is not among ``known``.
    """
    atomic_numbers = known_atomic_numbers(structure, known=known, encoder=encoder)
    centers, neighbors, images, _ = structure.get_neighbor_list(cutoff, exclude_self=True)
    order = np.argsort(centers, kind="stable")
    centers, neighbors, images = centers[order], neighbors[order], images[order]
    fractional = structure.frac_coords
    # One subtraction in double precision: single precision sees the same bonds however the crystal is turned.
    vectors = (fractional[neighbors] + images - fractional[centers]) @ structure.lattice.matrix
    return RadiusGraph(
        atomic_numbers, centers.astype(np.int64), neighbors.astype(np.int64), images.astype(np.int64), vectors
    )


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
    """

    atomic_numbers: Tensor
    bonds: Tensor
    vectors: Tensor
    crystal_of_node: Tensor
    n_crystals: int

    def to(self, device: torch.device | str) -> RadiusBatch:
        """Move the batch to a device."""
        return RadiusBatch(
            self.atomic_numbers.to(device),
            self.bonds.to(device),
            self.vectors.to(device),
            self.crystal_of_node.to(device),
            self.n_crystals,
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
    )
