"""The primitive cell of a crystal, found by its translations alone: much faster than a search for all symmetry."""

from __future__ import annotations

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure
from scipy.spatial import cKDTree

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders.descriptors.once import once_a_crystal

SAME_POSITION = 1e-3  # Å: repeated cells are exact, and a real distortion must not be averaged away
PROBED = 8  # atoms that tell most other vectors from translations
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
    numbers = np.array(structure.atomic_numbers)
    _, kind, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if np.gcd.reduce(counts) == 1:
        return None
    positions, matrix = structure.frac_coords, structure.lattice.matrix
    rarest = np.flatnonzero(kind == np.argmin(counts))
    translations, partners = [], []
    partners_of = _Partners(positions, numbers, matrix)
    for translation in positions[rarest] - positions[rarest[0]]:
        if (partner := partners_of.find(translation)) is not None:
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


class _Partners:
    """Finds the atom of the same kind that each atom lies on when all are moved.

    Args:
        positions: Fractional ``[n_atoms, 3]``.
        numbers: Atomic numbers ``[n_atoms]``.
        matrix: Rows are the lattice vectors, in Å ``[3, 3]``.
    """

    def __init__(self, positions: np.ndarray, numbers: np.ndarray, matrix: np.ndarray) -> None:
        self.positions, self.numbers, self.matrix = positions, numbers, matrix
        self.tree = cKDTree(_wrapped(positions), boxsize=1)
        heights = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
        self.reach = 1.01 * SAME_POSITION / heights.min()

    def find(self, translation: np.ndarray) -> np.ndarray | None:
        """Partners ``[n_atoms]`` of all atoms moved by a fractional translation ``[3]``; None when one has none."""
        if self._of(slice(0, PROBED), translation) is None:  # most translations are none
            return None
        return self._of(slice(None), translation)

    def _of(self, atoms: slice, translation: np.ndarray) -> np.ndarray | None:
        moved = self.positions[atoms] + translation
        distances, partners = self.tree.query(_wrapped(moved), p=np.inf, distance_upper_bound=self.reach)
        if not np.isfinite(distances).all() or (self.numbers[partners] != self.numbers[atoms]).any():
            return None
        offsets = moved - self.positions[partners]
        offsets -= np.round(offsets)
        return partners if (np.linalg.norm(offsets @ self.matrix, axis=1) < SAME_POSITION).all() else None


def _wrapped(positions: np.ndarray) -> np.ndarray:
    """Fractional positions in the cell, each coordinate at least 0 and less than 1."""
    wrapped = positions - np.floor(positions)
    wrapped[wrapped >= 1] = 0  # -1e-17 wraps to 1.0
    return wrapped


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
