"""The graphs that CHGNet sees: directed and undirected bonds, and the angles between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.graphs.radius import RadiusGraph, pairs_of_bonds

ATOM_CUTOFF = 6.0  # Å, bonds that atoms see
BOND_CUTOFF = 3.0  # Å, bonds that bonds see, and that form angles
NEAR_POLES = 1 - 1e-6  # CHGNet keeps the arccosine away from its poles by this factor
MOST_ANGLES = 1_000_000  # of one crystal; diamond has 400,000 in 1,728 atoms


def undirected_bonds(centers: np.ndarray, neighbors: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each bond with the same bond seen from its other end.

    Returns:
        A directed bond for each undirected one ``[n_bonds]`` and the undirected bond of each directed one
        ``[n_directed]``.
    """
    if len(centers) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    span = int(np.abs(images).max()) * 2 + 1
    n_atoms = int(max(centers.max(), neighbors.max())) + 1

    def key(i: np.ndarray, j: np.ndarray, image: np.ndarray) -> np.ndarray:
        shifted = image + span // 2
        return (((i * n_atoms + j) * span + shifted[:, 0]) * span + shifted[:, 1]) * span + shifted[:, 2]

    either_end = np.minimum(key(centers, neighbors, images), key(neighbors, centers, -images))
    _, one_of_two, bond = np.unique(either_end, return_index=True, return_inverse=True)
    return one_of_two, bond


@dataclass(frozen=True, slots=True)
class CHGNetGraph:
    """The bonds of one crystal, and which of them form angles.

    Attributes:
        bonds: All directed bonds.
        one_of_two: A directed bond for each undirected one ``[n_bonds]``.
        bond: The undirected bond of each directed one ``[n_directed]``.
        looking: Directed bond that each angle is seen from ``[n_angles]``.
        seen: Directed bond that it goes to ``[n_angles]``.
    """

    bonds: RadiusGraph
    one_of_two: np.ndarray
    bond: np.ndarray
    looking: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True, slots=True)
class CHGNetSample:
    """The graphs of one crystal; indices count from its first atom and its first bond.

    A bond is undirected and has one length; it is seen from either end as a directed bond.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        directed: Centre, neighbour and bond of each directed bond ``[3, n_directed]``.
        lengths: In Å ``[n_bonds]``.
        angled: Centre, bond that looks and bond that is seen, of each angle ``[3, n_angles]``.
        angles: In radians ``[n_angles]``.
    """

    atomic_numbers: np.ndarray
    directed: np.ndarray
    lengths: np.ndarray
    angled: np.ndarray
    angles: np.ndarray


def chgnet_graph(bonds: RadiusGraph) -> CHGNetGraph:
    """Pair bonds to undirected ones, and to angles.

    Raises:
        UnsupportedCrystalError: When there are too many angles.
    """
    one_of_two, bond = undirected_bonds(bonds.centers, bonds.neighbors, bonds.images)
    short = np.flatnonzero(bonds.lengths < BOND_CUTOFF)
    n_angles = int((np.bincount(bonds.centers[short]) ** 2).sum())
    if n_angles > MOST_ANGLES:
        raise UnsupportedCrystalError(
            f"its {len(bonds.atomic_numbers)} atoms form about {n_angles / 1e6:.0f} million angles between bonds of up "
            f"to {BOND_CUTOFF:g} Å, more than fit into memory: take a smaller cell, or leave it or this expert out"
        )
    looking, seen = (short[i] for i in pairs_of_bonds(bonds.centers[short]))
    return CHGNetGraph(bonds, one_of_two, bond, looking, seen)


def chgnet_sample(graph: CHGNetGraph) -> CHGNetSample:
    """What the network reads of a graph."""
    bonds, lengths, looking, seen = graph.bonds, graph.bonds.lengths, graph.looking, graph.seen
    short = lengths < BOND_CUTOFF
    directions = np.zeros_like(bonds.vectors)
    directions[short] = bonds.vectors[short] / lengths[short, None]
    cosines = np.einsum("ij,ij->i", directions[looking], directions[seen])
    return CHGNetSample(
        atomic_numbers=bonds.atomic_numbers,
        directed=np.stack([bonds.centers, bonds.neighbors, graph.bond]),
        lengths=lengths[graph.one_of_two].astype(np.float32),
        angled=np.stack([bonds.centers[looking], graph.bond[looking], graph.bond[seen]]),
        angles=np.arccos(cosines * NEAR_POLES).astype(np.float32),
    )
