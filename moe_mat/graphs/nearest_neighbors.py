"""Neighbour graphs: each atom and its nearest neighbours within a cutoff, with a rule for ties at the cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.neighbours import neighbour_list
from moe_mat.crystals.sites import sites_of
from moe_mat.graphs.ties import Ties

# Distances closer than this belong to one shell: it is far above the noise of a rotation and far below any physics.
TIE_TOLERANCE = 1e-4  # Å
ENVIRONMENT_TOLERANCE = 1e-7  # relative


@dataclass(frozen=True, slots=True)
class CrystalGraph:
    """The neighbour graph of one crystal, edges sorted by centre.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        centers: Atom that each edge belongs to ``[n_edges]``.
        neighbors: Atom at the other end ``[n_edges]``.
        distances: Edge lengths in Å ``[n_edges]``.
    """

    atomic_numbers: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.atomic_numbers)


def neighbor_graph(
    structure: Structure, *, cutoff: float, max_neighbors: int, ties: Ties = "canonical", pad: bool = False
) -> CrystalGraph:
    """Connect each atom to its nearest neighbours.

    When more neighbours than ``max_neighbors`` lie within the cutoff, some shell of equally distant atoms may be cut in
    two. ``ties="canonical"`` then keeps the heavier elements, and among atoms of one element those in the denser
    environment, so that the graph does not depend on the orientation of the cell or the order of its sites.
    ``ties="order"`` keeps whatever the neighbour search lists first, as Chang et al. (npj Comput. Mater. 8, 242, 2022)
    did.

    Args:
        structure: An ordered crystal.
        cutoff: Largest distance of a neighbour, in Å.
        max_neighbors: Largest number of neighbours of an atom.
        ties: The rule for equal distances.
        pad: Fill an atom's missing neighbours with edges of ``cutoff + 1`` Å: to the first atom of the cell with
            ``ties="order"``, as the published CGCNN experts were trained, and to the atom itself with
            ``ties="canonical"``, where the order of the sites must not matter. Without it an isolated atom has no
            edges.

    Raises:
        UnsupportedCrystalError: When there are too many neighbours.
        ValueError: When there is no such rule.
    """
    atomic_numbers = sites_of(structure).atomic_numbers
    centers, neighbors, _, distances = neighbour_list(structure, cutoff=cutoff)

    if ties == "canonical":
        by_distance = np.lexsort((distances, centers))
        centers, neighbors, distances = centers[by_distance], neighbors[by_distance], distances[by_distance]
        # Shells by gaps, not by rounding: two equal distances never fall on either side of a rounding step.
        new_shell = np.ones(len(distances), dtype=bool)
        new_shell[1:] = (np.diff(distances) > TIE_TOLERANCE) | (np.diff(centers) != 0)
        environments = _rank_environments(atomic_numbers, centers, neighbors, 1 - distances / cutoff)
        order = np.lexsort((-environments[neighbors], -atomic_numbers[neighbors], np.cumsum(new_shell), centers))
    elif ties == "order":
        order = np.lexsort((distances, centers))
    else:
        raise ValueError(f"ties must be 'canonical' or 'order', not {ties!r}")
    centers, neighbors, distances = centers[order], neighbors[order], distances[order]

    first_edge = np.searchsorted(centers, np.arange(len(structure)))
    nearest = np.arange(len(centers)) - first_edge[centers] < max_neighbors
    centers, neighbors, distances = centers[nearest], neighbors[nearest], distances[nearest]

    if pad:
        missing = max_neighbors - np.bincount(centers, minlength=len(structure))
        padded = np.repeat(np.arange(len(structure)), missing)
        centers = np.concatenate([centers, padded])
        neighbors = np.concatenate([neighbors, padded if ties == "canonical" else np.zeros_like(padded)])
        distances = np.concatenate([distances, np.full(len(padded), cutoff + 1.0)])
        order = np.argsort(centers, kind="stable")
        centers, neighbors, distances = centers[order], neighbors[order], distances[order]

    return CrystalGraph(
        atomic_numbers, centers.astype(np.int64), neighbors.astype(np.int64), distances.astype(np.float32)
    )


def _rank_environments(
    atomic_numbers: np.ndarray, centers: np.ndarray, neighbors: np.ndarray, nearness: np.ndarray
) -> np.ndarray:
    """Rank the atoms by how dense and heavy their environments are; equivalent sites have equal ranks ``[n_atoms]``.

    Three rounds reach three cutoffs far. ``nearness`` is 0 at the cutoff, where the list of neighbours is noise.
    """
    density = atomic_numbers.astype(float)
    for _ in range(3):
        around = np.bincount(centers, nearness**2 * density[neighbors], minlength=len(atomic_numbers))
        density = atomic_numbers + around
    order = np.argsort(density)
    ranks = np.zeros(len(density), dtype=np.int64)
    ranks[order[1:]] = np.cumsum(np.diff(density[order]) > ENVIRONMENT_TOLERANCE * density.max())
    return ranks
