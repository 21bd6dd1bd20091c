"""Crystals as a caller has them: objects, a table, or files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure
from pymatgen.core.structure import SiteCollection

from moe_mat.crystals.formula_tables import formula_column
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.structure_files import read_structure_file, structure_format
from moe_mat.crystals.structures import Crystal, crystals_from_objects

File = str | os.PathLike[str]
OneCrystal = Structure | Atoms | Composition | Mapping[str, Any]
Crystals = File | OneCrystal | Sequence[OneCrystal | File] | pd.Series | pd.DataFrame | NDArray[Any]
"""A file or folder of crystals, a crystal, several, or a DataFrame with a column ``structure`` or ``formula``."""


def is_file(crystals: object) -> bool:
    """Whether crystals are given by the path of their file or folder."""
    return isinstance(crystals, str | os.PathLike)


def given_crystals(crystals: Crystals) -> list[Crystal]:
    """Checked crystals.

    Args:
        crystals: The path of a file or folder, as for `moe_mat.read_structures`; or what ``as_structure`` takes, one or
            several, where a path stands for the crystal in that file; or a DataFrame with a column ``structure``.

    Raises:
        CrystalError: When one cannot be used; names it.
        FileNotFoundError: When there is no such file.
        ValueError: When a DataFrame has no column of structures, or a file cannot be read.
    """
    if isinstance(crystals, (str, os.PathLike)):
        return list(iter_crystals(crystals, columns=()))
    if isinstance(crystals, pd.DataFrame):
        column = "structure" if "structure" in crystals else formula_column(map(str, crystals.columns))
        if column is None:
            columns = ", ".join(map(str, crystals.columns))
            raise ValueError(
                f"the DataFrame has no column 'structure' or 'formula' but {columns}: pass its column of crystals"
            )
        crystals = crystals[column]
    several: Any = [crystals] if isinstance(crystals, SiteCollection | Atoms | Mapping | Composition) else crystals
    return crystals_from_objects([_opened(one) for one in several])


def _opened(crystal: Any) -> Any:
    """A crystal, or the one in a file."""
    if not is_file(crystal) or (isinstance(crystal, str) and structure_format(Path(crystal)) is None):
        return crystal
    try:
        return read_structure_file(Path(crystal))
    except ValueError as error:
        raise ValueError(f"{crystal}: {error}") from error
