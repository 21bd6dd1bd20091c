"""Crystals that must not be trained on, such as those of the tasks that a hub will be judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from pymatgen.core import Structure

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.training_crystals import formula_hash

# Relative difference of the volumes per atom of what may be one crystal, computed with two functionals or measured.
VOLUME_TOLERANCE = 0.1


class HeldOut:
    """Crystals by reduced formula and volume per atom, or by formula alone.

    It rather recognises too many than too few: a polymorph of nearly the same density counts as the crystal itself. By
    formula alone, the bulk that a monolayer was cut from is recognised as well.

    Args:
        structures: The crystals.
        any_volume: Whether the formula decides alone.

    Example:
        >>> from pymatgen.core import Lattice
        >>> salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        >>> salt.copy().apply_strain(0.01) in HeldOut([salt]), salt.copy().apply_strain(0.1) in HeldOut([salt])
        (True, False)
    """

    def __init__(self, structures: Iterable[Structure], *, any_volume: bool = False) -> None:
        self._tolerance = math.inf if any_volume else VOLUME_TOLERANCE
        self._volumes: dict[int, set[float]] = {}
        for structure in structures:
            self._volumes.setdefault(formula_hash(structure), set()).add(self._volume(structure))

    def _volume(self, structure: Structure) -> float:
        """Of an atom; any where the formula decides alone."""
        return 1.0 if math.isinf(self._tolerance) else structure.volume / len(structure)

    @classmethod
    def read(cls, paths: Iterable[Path], *, any_volume: bool = False) -> HeldOut:
        """The crystals of some files or folders of Parquet files; rows that cannot be read hold out nothing.

        Raises:
            FileNotFoundError: When one is not there.
        """
        files = []
        for path in paths:
            found = sorted(path.glob("*.parquet")) or [path]
            if not path.exists():
                raise FileNotFoundError(f"there is no {path} with crystals to leave out: take it out of the recipe")
            files += found
        left_out: list[LeftOut] = []
        crystals = (
            one
            for file in files
            for one in iter_crystals(file, on_error="skip", left_out=left_out, formulas=any_volume)
        )
        return cls((crystal.structure for crystal in crystals), any_volume=any_volume)

    def __contains__(self, structure: object) -> bool:
        if not isinstance(structure, Structure):
            return False
        volume = self._volume(structure)
        known = self._volumes.get(formula_hash(structure), ())
        return any(abs(volume - other) < self._tolerance * other for other in known)
