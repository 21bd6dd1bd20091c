"""What space a crystal leaves empty: gaps between layers, vacuum, and the shape of the primitive cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import spglib

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders.descriptors.geometry import volume_of_spheres
from moe_mat.encoders.descriptors.shells import Shells

NARROWEST = 1.5  # Å: narrower gaps between planes of atoms are in every crystal
MOST_PLANES = 1_000_000  # families of lattice planes: a cell of 1,728 atoms has 100,000
HEIGHTS_AT_ONCE = 1_000_000  # of atoms over planes, which bounds the memory
VACUUM = 3.0  # Å between planes of atom centres, about that between the sulfur planes of molybdenite


@dataclass(frozen=True, slots=True)
class Planes:
    """Families of lattice planes, and the empty slabs between the atoms along their normals.

    Attributes:
        indices: Miller indices in the given cell ``[n_planes, 3]``.
        spacings: Period along the normal in Å ``[n_planes]``.
        heights: Of the atoms, ascending, in periods from 0 to 1 ``[n_planes, n_atoms]``.
        gaps: From each of these atoms to the next, in Å ``[n_planes, n_atoms]``.
    """

    indices: np.ndarray
    spacings: np.ndarray
    heights: np.ndarray
    gaps: np.ndarray


def families_of_planes(lattice: np.ndarray, positions: np.ndarray) -> Iterator[Planes]:
    """All families whose period is longer than 1.5 Å, some at a time.

    Args:
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
        positions: Fractional ``[n_atoms, 3]``.

    Raises:
        UnsupportedCrystalError: When the cell is so large that there are millions of families.
    """
    largest = np.floor(np.linalg.norm(lattice, axis=1) / NARROWEST).astype(int)
    if np.prod(2 * largest + 1.0) > MOST_PLANES:
        raise UnsupportedCrystalError(
            f"its primitive cell of {abs(np.linalg.det(lattice)):.3g} Å³ has more than {MOST_PLANES // 10**6} million "
            "families of lattice planes: leave this crystal or this expert out"
        )
    planes = np.indices(2 * largest + 1).reshape(3, -1).T - largest
    planes = planes[len(planes) // 2 + 1 :]  # of hkl and its opposite one
    spacings = 1 / np.linalg.norm(planes @ np.linalg.inv(lattice).T, axis=1)
    wide = spacings > NARROWEST
    planes, spacings = planes[wide], spacings[wide]
    at_once = max(1, HEIGHTS_AT_ONCE // len(positions))
    for start in range(0, len(planes), at_once):
        some, spacing = planes[start : start + at_once], spacings[start : start + at_once]
        heights = np.sort((some @ positions.T) % 1, axis=1)
        gaps = np.diff(heights, axis=1, append=heights[:, :1] + 1) * spacing[:, None]
        yield Planes(some, spacing, heights, gaps)


def empty_slabs(shells: Shells) -> tuple[float, float]:
    """The widest empty slab between parallel lattice planes in Å, and the largest share of volume in wide slabs.

    All families of planes are tried whose spacing can hold a slab wider than 1.5 Å, which is what is returned when none
    does. A slab counts to the share with what its width exceeds 3 Å by. Both are the same for all cells of a crystal.

    Raises:
        UnsupportedCrystalError: When the cell is so large that there are millions of families.
    """
    widest, emptiest = NARROWEST, 0.0
    for planes in families_of_planes(shells.lattice, shells.positions):
        vacuum = np.maximum(planes.gaps - VACUUM, 0).sum(axis=1) / planes.spacings
        widest, emptiest = max(widest, float(planes.gaps.max())), max(emptiest, float(vacuum.max()))
    return widest, emptiest


def packing_features(shells: Shells) -> dict[str, float]:
    """Features by name; NaN for the shape of a cell that has no Niggli form numerically.

    Logarithm of the widest gap (Å), share of the volume in vacuum, filling of the rest by atoms of covalent radius and
    logarithm of the rest's volume per atom (Å^3), and, of the Niggli cell, the logarithms of the ratios of its lengths
    and of its volume over their product.
    """
    gap, vacuum = empty_slabs(shells)
    solid = shells.volume * (1 - vacuum)
    niggli = spglib.niggli_reduce(shells.lattice)
    lengths = np.sort(np.linalg.norm(niggli, axis=1)) if niggli is not None else np.full(3, np.nan)
    return {
        "log gap": np.log(gap),
        "vacuum": vacuum,
        "solid packing fraction": volume_of_spheres(shells.radii) / solid,
        "log solid volume per atom": np.log(solid / shells.n_atoms),
        "log b/a": np.log(lengths[1] / lengths[0]),
        "log c/b": np.log(lengths[2] / lengths[1]),
        "log volume over abc": np.log(shells.volume / lengths.prod()),
    }
