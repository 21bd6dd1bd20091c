"""Crystals that must not be trained on, such as those of the tasks that a hub will be judged by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pymatgen.core import Structure

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.training_crystals import formula_hash

# Relative difference of the volumes per atom of what may be one crystal, computed with two functionals or measured.
VOLUME_TOLERANCE = 0.1


class HeldOut:
    """Crystals by reduced formula and volume per atom.

    It rather recognises too many than too few: a polymorph of nearly the same density counts as the crystal itself.

    Args:
        structures: The crystals.

    Example:
        >>> from pymatgen.core import Lattice
        >>> salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        >>> salt.copy().apply_strain(0.01) in HeldOut([salt]), salt.copy().apply_strain(0.1) in HeldOut([salt])
        (True, False)
    """

    def __init__(self, structures: Iterable[Structure]) -> None:
        self._volumes: dict[int, set[float]] = {}
        for structure in structures:
            self._volumes.setdefault(formula_hash(structure), set()).add(structure.volume / len(structure))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> HeldOut:
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
        return cls(
            crystal.structure for file in files for crystal in iter_crystals(file, on_error="skip", left_out=left_out)
        )

    def __contains__(self, structure: object) -> bool:
        if not isinstance(structure, Structure):
            return False
        volume = structure.volume / len(structure)
        known = self._volumes.get(formula_hash(structure), ())
        return any(abs(volume - other) < VOLUME_TOLERANCE * other for other in known)
