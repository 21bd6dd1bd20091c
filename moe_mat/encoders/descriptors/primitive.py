"""The primitive cell of a crystal, found by its translations alone: much faster than a search for all symmetry."""

from __future__ import annotations

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.once import once_a_crystal
from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors.partners import Partners

SAME_POSITION = 1e-3  # Å: repeated cells are exact, and a real distortion must not be averaged away
MOST_ATOMS = 5000


def primitive_cell(structure: Structure) -> Structure:
    """The primitive cell in Niggli's form, atoms where they are; the structure itself when it is primitive already.

    Raises:
        UnsupportedCrystalError: When the cell has so many atoms that searches for its symmetry take minutes.
    """
    if len(structure) > MOST_ATOMS:
        raise UnsupportedCrystalError(
            f"its cell has {len(structure)} atoms, and symmetry is searched for in up to {MOST_ATOMS}: take a smaller "
            "cell of this crystal, or leave it or this expert out"
        )
    smaller = _smaller_cell(structure)
    return structure if smaller is None else smaller


@once_a_crystal
def _smaller_cell(structure: Structure) -> Structure | None:
    """The primitive cell, None when the structure is primitive already."""
    sites = sites_of(structure)
    numbers = sites.atomic_numbers
    _, kind, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if np.gcd.reduce(counts) == 1:
        return None
    positions, matrix = sites.fractional, sites.lattice
    rarest = np.flatnonzero(kind == np.argmin(counts))
    translations, partners = [], []
    partners_of = Partners(positions, numbers, matrix, tolerance=SAME_POSITION)
    for translation in positions[rarest] - positions[rarest[0]]:
        if (partner := partners_of.find(positions + translation)) is not None:
            translations.append(translation)
            partners.append(partner)
    n = len(translations)
    basis = _basis(np.round(np.array(translations) * n).astype(int), n)
    # Translations that are no group, because they hold only just, or not quite, are no symmetry to rely on.
    if n == 1 or round(abs(np.linalg.det(basis))) != n**2:
        return None
    first = np.unique(np.min(partners, axis=0))
    if len(first) * n != len(structure):
        return None
    lattice = basis / n @ matrix
    reduced = spglib.niggli_reduce(lattice)
    return Structure(
        Lattice(lattice if reduced is None else reduced),
        numbers[first],
        positions[first] @ matrix,
        coords_are_cartesian=True,
        to_unit_cell=True,
    )


def _basis(vectors: np.ndarray, n: int) -> np.ndarray:
    """Basis ``[3, 3]`` of all integer combinations of ``vectors`` ``[m, 3]`` and ``n`` times the unit vectors."""
    rows = np.concatenate([vectors % n, n * np.eye(3, dtype=int)])
    basis = []
    for axis in range(3):
        while np.count_nonzero(rows[:, axis]) > 1:  # Euclid's algorithm on one column at a time
            column = np.abs(rows[:, axis])
            pivot = np.where(column == 0, column.max() + 1, column).argmin()
            quotients = rows[:, axis] // rows[pivot, axis]
            quotients[pivot] = 0
            rows -= quotients[:, None] * rows[pivot]
        pivot = int(np.flatnonzero(rows[:, axis])[0])
        basis.append(rows[pivot])
        rows = np.delete(rows, pivot, axis=0)
    return np.array(basis)
