"""Which atom of the same kind each atom comes to lie on when a symmetry moves all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

PROBED = 8  # atoms that tell most moves from symmetries


class Partners:
    """Finds the atom of the same kind that each atom lies on when all are moved.

    Args:
        positions: Fractional ``[n_atoms, 3]``.
        numbers: Atomic numbers ``[n_atoms]``.
        matrix: Rows are the lattice vectors, in Å ``[3, 3]``.
        tolerance: How far apart the same position may be, in Å.
    """

    def __init__(self, positions: np.ndarray, numbers: np.ndarray, matrix: np.ndarray, *, tolerance: float) -> None:
        self.positions, self.numbers, self.matrix, self.tolerance = positions, numbers, matrix, tolerance
        self.tree = cKDTree(_wrapped(positions), boxsize=1)
        heights = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
        self.reach = 1.01 * tolerance / heights.min()

    def find(self, moved: np.ndarray) -> np.ndarray | None:
        """Partners ``[n_atoms]`` of all atoms at their fractional positions after the move; None when one has none."""
        if self._of(slice(0, PROBED), moved) is None:  # most moves are no symmetry
            return None
        return self._of(slice(None), moved)

    def _of(self, atoms: slice, all_moved: np.ndarray) -> np.ndarray | None:
        moved = all_moved[atoms]
        found: Any = self.tree.query(_wrapped(moved), p=np.inf, distance_upper_bound=self.reach)
        distances, partners = found
        if not np.isfinite(distances).all() or (self.numbers[partners] != self.numbers[atoms]).any():
            return None
        offsets = moved - self.positions[partners]
        offsets -= np.round(offsets)
        return partners if (np.linalg.norm(offsets @ self.matrix, axis=1) < self.tolerance).all() else None


def _wrapped(positions: np.ndarray) -> np.ndarray:
    """Fractional positions in the cell, each coordinate at least 0 and less than 1."""
    wrapped = positions - np.floor(positions)
    wrapped[wrapped >= 1] = 0  # -1e-17 wraps to 1.0
    return wrapped
