"""Crystals whose value is known already: they set the bar, and are not suggested again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.fingerprint import TOLERANCE, fingerprint
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.training_crystals import formula_hash


class Measured:
    """Crystals and their values.

    Another cell of a crystal, or other digits of its coordinates, are the same crystal; another structure of its
    formula is another one. That is compared where formulas are equal, so that a long list of candidates costs little.

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
        self._fingerprints: dict[int, NDArray[np.float64] | None] = {}

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
        own = _fingerprint(structure)
        return own is not None and any(_same(own, self._fingerprint(row)) for row in rows)

    def _fingerprint(self, row: int) -> NDArray[np.float64] | None:
        if row not in self._fingerprints:
            self._fingerprints[row] = _fingerprint(self._structures[row])
        return self._fingerprints[row]


def _same(one: NDArray[np.float64], other: NDArray[np.float64] | None) -> bool:
    return other is not None and bool(np.abs(one - other).max() < TOLERANCE)


def _fingerprint(structure: Structure) -> NDArray[np.float64] | None:
    try:
        return fingerprint(structure)
    except UnsupportedCrystalError:  # too dense to be listed: its cell as given must do
        return None
