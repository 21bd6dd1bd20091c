"""Crystals whose value is known already: they set the bar, and are not suggested again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.duplicates import DISTANCE_TOLERANCE, STEP, neighbour_counts, same_crystals
from moe_mat.crystals.formulas import Formula
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.training_crystals import formula_hash


class Measured:
    """Crystals and their values.

    A candidate is one of them by the rule of `moe_mat.crystals.same_crystals`: another cell, or a small relaxation, is
    the same crystal, and another structure of its formula is another one. It is compared with those of its formula
    alone, so that a long list of candidates costs little.

    Args:
        structures: n crystals.
        targets: Their values ``[n, n_targets]``; NaN where there is none.

    Example:
        >>> from moe_mat.crystals.datasets import load_quickstart
        >>> structures, table = load_quickstart()
        >>> known = Measured(structures[:3], table[["bulk_modulus"]].to_numpy()[:3])
        >>> structures[0] * (2, 1, 1) in known, structures[3] in known
        (True, False)
    """

    def __init__(self, structures: Sequence[Structure], targets: NDArray[np.float64]) -> None:
        self.targets = np.asarray(targets, dtype=float)
        self._structures = list(structures)
        self._rows: dict[int, list[int]] = {}
        for row, structure in enumerate(self._structures):
            self._rows.setdefault(formula_hash(structure), []).append(row)
        self._counts: dict[int, NDArray[np.float64]] = {}

    def values(self, column: int) -> NDArray[np.float64]:
        """Of one target, those that are known ``[m]``."""
        values = self.targets[:, column]
        return values[np.isfinite(values)]

    def __contains__(self, structure: object) -> bool:
        if not isinstance(structure, Structure):
            return False
        rows = self._rows.get(formula_hash(structure), [])
        if not rows:
            return False
        key = structure_key(structure)
        if any(structure_key(self._structures[row]) == key for row in rows):
            return True
        if isinstance(structure, Formula):
            return False
        own = neighbour_counts(structure)
        near = [row for row in rows if np.abs(own - self._counted(row)).sum() * STEP < DISTANCE_TOLERANCE]
        numbers = same_crystals([structure, *(self._structures[row] for row in near)])
        return bool((numbers[1:] == numbers[0]).any())

    def _counted(self, row: int) -> NDArray[np.float64]:
        if row not in self._counts:
            self._counts[row] = neighbour_counts(self._structures[row])
        return self._counts[row]
