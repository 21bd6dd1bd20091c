"""All neighbours within a cutoff, in bounded time and memory: the one place that searches for them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.sites import sites_of

MOST_EDGES = 3_000_000
"""Of the graph of one crystal, which takes some 250 bytes an edge; diamond has 650,000 in 1,728 atoms within 8 Å."""

_SAME = 1e-8  # Å: an atom's distance to itself
_FAR_OUT = 10.0  # lattice vectors from the cell: pymatgen's search walks through all images up to there
_LARGE = 2000  # atoms: fewer that are not on top of each other cannot have too many neighbours unless the cell is dense
_PROBE = 3.0  # Å


class NeighbourList(NamedTuple):
    """Neighbours of all atoms, each pair from either end, in no particular order.

    Attributes:
        centers: ``[n_edges]``.
        neighbors: ``[n_edges]``.
        images: Cell of the neighbour, in lattice vectors ``[n_edges, 3]``.
        distances: In Å ``[n_edges]``.
    """

    centers: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    images: NDArray[np.float64]
    distances: NDArray[np.float64]


def neighbour_list(structure: Structure, *, cutoff: float) -> NeighbourList:
    """All neighbours within ``cutoff`` Å.

    Raises:
        UnsupportedCrystalError: When there are more than ``MOST_EDGES``, which is found out before they are listed.
    """
    sites = sites_of(structure)
    return neighbours_in(sites.lattice, sites.fractional, sites.positions, cutoff=cutoff)


def neighbours_in(
    matrix: NDArray[np.float64], fractional: NDArray[np.float64], positions: NDArray[np.float64], *, cutoff: float
) -> NeighbourList:
    """All neighbours in a periodic crystal, as `neighbour_list`.

    Args:
        matrix: Rows are the lattice vectors, in Å ``[3, 3]``.
        fractional: Positions in lattice vectors ``[n_atoms, 3]``.
        positions: The same in Å ``[n_atoms, 3]``.
        cutoff: Largest distance, in Å.

    Raises:
        UnsupportedCrystalError: When there are too many.
    """
    cells = None
    if np.abs(fractional).max(initial=0) > _FAR_OUT:
        cells = np.floor(fractional)
        positions = (fractional - cells) @ matrix
    n_atoms = len(positions)
    expected = n_atoms**2 / abs(np.linalg.det(matrix)) * 4 / 3 * math.pi * cutoff**3
    if n_atoms > _LARGE and cutoff > _PROBE and expected < MOST_EDGES:
        # Atoms may crowd in one corner of a large cell.
        expected = len(search(positions, matrix, _PROBE).centers) * (cutoff / _PROBE) ** 3 / 2
    if expected > MOST_EDGES:
        raise UnsupportedCrystalError(
            f"its {n_atoms} atoms have about {expected / 1e6:.0f} million neighbours within {cutoff:g} Å, more than "
            f"{MOST_EDGES / 1e6:.0f} million: take a smaller cell of this crystal, or leave it out"
        )
    found = search(positions, matrix, cutoff)
    if cells is not None:
        found = found._replace(images=found.images + cells[found.centers] - cells[found.neighbors])
    return found


def search(positions: NDArray[np.float64], matrix: NDArray[np.float64], cutoff: float) -> NeighbourList:
    """All neighbours in a periodic crystal, however many there are.

    Args:
        positions: Cartesian and not far from the cell, in Å ``[n_atoms, 3]``.
        matrix: Rows are the lattice vectors, in Å ``[3, 3]``.
        cutoff: Largest distance, in Å.
    """
    points, cell = (np.ascontiguousarray(values, dtype=float) for values in (positions, matrix))
    found = NeighbourList(*find_points_in_spheres(points, points, cutoff, np.ones(3, dtype=np.int64), cell, _SAME))
    others = (found.centers != found.neighbors) | (found.distances > _SAME)
    return NeighbourList(*(values[others] for values in found))
