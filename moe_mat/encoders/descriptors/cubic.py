"""The symmetry of cubic crystals, for which spglib takes twenty milliseconds, ten times as long as for others.

Another library is asked where both give the same answer: when the crystal is cubic, and no less so at a tenth of the
tolerance.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import moyopy
import numpy as np
import spglib

from moe_mat.crystals.sites import Sites

# It warns of cells that are not primitive, which are given up.
logging.getLogger("moyo").setLevel(logging.ERROR)

# Of Niggli's cell of a face-centred, a simple and a body-centred cubic lattice: the cosine of all its angles.
COSINES = np.array([1 / 2, 0, -1 / 3])
DISTORTION = 0.05  # of edges and cosines: larger ones are not cubic
TIGHTER = 0.1  # of the tolerance
LAST_OF_POINT_GROUPS = {"23": 199, "m-3": 206, "432": 214, "-43m": 220, "m-3m": 230}
FIRST = 195


@dataclass(frozen=True, slots=True)
class CubicSymmetry:
    """What is found of a cubic crystal.

    Attributes:
        space_group: Its number.
        point_group: Its Hermann-Mauguin symbol.
        orbits: Of each atom, one that it is equivalent to ``[n_atoms]``.
    """

    space_group: int
    point_group: str
    orbits: np.ndarray


def find_cubic_symmetry(sites: Sites, tolerance: float) -> CubicSymmetry | None:
    """The symmetry within a tolerance in Å of a primitive cell; None when it is not beyond doubt a cubic one."""
    if not _is_cubic(sites.lattice):
        return None
    cell = moyopy.Cell(sites.lattice.tolist(), sites.fractional.tolist(), sites.atomic_numbers.tolist())
    found = _search(cell, tolerance)
    if found is None or found.number < FIRST or len(set(found.mapping_std_prim)) < len(sites.atomic_numbers):
        return None
    tight = _search(cell, TIGHTER * tolerance)
    if tight is None or tight.number != found.number:
        return None
    point_group = next(symbol for symbol, last in LAST_OF_POINT_GROUPS.items() if found.number <= last)
    return CubicSymmetry(found.number, point_group, np.array(found.orbits))


def _search(cell: moyopy.Cell, tolerance: float) -> moyopy.MoyoDataset | None:
    try:
        return moyopy.MoyoDataset(cell, symprec=tolerance)
    except ValueError:  # it finds none at all
        return None


def _is_cubic(lattice: np.ndarray) -> bool:
    """Whether a lattice ``[3, 3]`` is nearly simple, face-centred or body-centred cubic."""
    reduced = spglib.niggli_reduce(lattice)
    if reduced is None:
        return False
    products = reduced @ reduced.T
    edges = np.sqrt(np.diag(products))
    cosines = (products / np.outer(edges, edges))[[1, 0, 0], [2, 2, 1]]
    same_edges = np.ptp(edges) < DISTORTION * edges.mean()
    return bool(same_edges and (np.abs(cosines - COSINES[:, None]) < DISTORTION).all(axis=1).any())
