"""The symmetry of a crystal: space group, point group, and how symmetric its sites are.

All of it is read off one search in the primitive cell, which has the symmetry of any larger one.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Structure

from moe_mat.crystals.once import once_a_crystal
from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors.cubic import find_cubic_symmetry

logger = logging.getLogger(__name__)

# Its C code writes lines to the terminal that name no crystal; where it finds nothing, a line below does.
os.environ.setdefault("SPGLIB_WARNING", "OFF")

TOLERANCE = 0.1  # Å, as the Materials Project uses for relaxed crystals

CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
# fmt: off
POINT_GROUP_ORDERS = {
    "1": 1, "-1": 2, "2": 2, "m": 2, "2/m": 4, "222": 4, "mm2": 4, "mmm": 8, "4": 4, "-4": 4, "4/m": 8, "422": 8,
    "4mm": 8, "-42m": 8, "4/mmm": 16, "3": 3, "-3": 6, "32": 6, "3m": 6, "-3m": 12, "6": 6, "-6": 6, "6/m": 12,
    "622": 12, "6mm": 12, "-6m2": 12, "6/mmm": 24, "23": 12, "m-3": 24, "432": 24, "-43m": 24, "m-3m": 48,
}
# fmt: on
CENTROSYMMETRIC = frozenset({"-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m"})
POLAR = frozenset({"1", "2", "m", "mm2", "4", "4mm", "3", "3m", "6", "6mm"})
CHIRAL = frozenset({"1", "2", "222", "4", "422", "3", "32", "6", "622", "23", "432"})


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What is found of a crystal.

    Attributes:
        space_group: Its number.
        point_group: Its Hermann-Mauguin symbol.
        n_primitive: Number of atoms in the primitive cell.
        orbit_sizes: Number of equivalent atoms in the cell, for each orbit ``[n_orbits]``.
        orbits: Orbit of each atom ``[n_atoms]``.
    """

    space_group: int
    point_group: str
    n_primitive: int
    orbit_sizes: np.ndarray
    orbits: np.ndarray


@once_a_crystal
def find_symmetry(structure: Structure) -> Symmetry | None:
    """Search for all symmetry within 0.1 Å; None, which is logged, when spglib finds none at all."""
    sites = sites_of(structure)
    if cubic := find_cubic_symmetry(sites, TOLERANCE):
        sizes, orbits = _orbits(cubic.orbits)
        return Symmetry(cubic.space_group, cubic.point_group, len(orbits), sizes, orbits)
    cell: Any = (sites.lattice, sites.fractional, sites.atomic_numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=TOLERANCE)
    except Exception:  # its older releases return None instead, and have no error of their own to catch
        found = None
    if found is None:
        logger.warning("spglib finds no space group for %s; its symmetry features are missing", structure.formula)
        return None
    sizes, orbits = _orbits(found.crystallographic_orbits)
    return Symmetry(
        space_group=found.number,
        point_group=found.pointgroup.strip(),
        n_primitive=len(np.unique(found.mapping_to_primitive)),
        orbit_sizes=sizes,
        orbits=orbits,
    )


def _orbits(representatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Size of each orbit, and orbit of each atom, from an equivalent atom of each."""
    _, orbits, sizes = np.unique(representatives, return_inverse=True, return_counts=True)
    return sizes, orbits


def space_group_features(symmetry: Symmetry | None) -> dict[str, float]:
    """Space group, crystal system, kind and order of the point group, atoms and orbits of the primitive cell.

    NaN when there is no symmetry at all.
    """
    if symmetry is None:
        names = ("space group", *CRYSTAL_SYSTEMS, "centrosymmetric", "polar", "log order", "log atoms", "log orbits")
        return dict.fromkeys(names, np.nan)
    system = next(name for name, last in CRYSTAL_SYSTEMS.items() if symmetry.space_group <= last)
    return {
        "space group": float(symmetry.space_group),
        **{name: float(name == system) for name in CRYSTAL_SYSTEMS},
        "centrosymmetric": float(symmetry.point_group in CENTROSYMMETRIC),
        "polar": float(symmetry.point_group in POLAR),
        "log order": np.log(POINT_GROUP_ORDERS[symmetry.point_group]),
        "log atoms": np.log(symmetry.n_primitive),
        "log orbits": np.log(len(symmetry.orbit_sizes)),
    }


def site_symmetry_features(symmetry: Symmetry | None) -> dict[str, float]:
    """The point group as 32 flags, whether it is chiral or piezoelectric, and how symmetric its sites are.

    The order of a site's symmetry group is that of the point group over the number of atoms in its orbit, in the
    primitive cell; its logarithm enters with mean, minimum and maximum over the atoms. NaN when there is no symmetry at
    all.
    """
    others = ("chiral", "piezoelectric", "log orbits per atom")
    sites = ("log site order, mean", "log site order, min", "log site order, max")
    if symmetry is None:
        return dict.fromkeys((*POINT_GROUP_ORDERS, *others, *sites), np.nan)
    group, sizes, n_primitive = symmetry.point_group, symmetry.orbit_sizes, symmetry.n_primitive
    site_orders = np.log(POINT_GROUP_ORDERS[group] * len(symmetry.orbits) / n_primitive / sizes[symmetry.orbits])
    values = (
        *(group in CHIRAL, group not in CENTROSYMMETRIC | {"432"}, np.log(len(sizes) / n_primitive)),
        *(site_orders.mean(), site_orders.min(), site_orders.max()),
    )
    flags = {name: float(name == group) for name in POINT_GROUP_ORDERS}
    return flags | {name: float(value) for name, value in zip((*others, *sites), values, strict=True)}
