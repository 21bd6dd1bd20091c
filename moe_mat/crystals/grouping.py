"""Groups of crystals that are split as one: by formula, structure, chemical system, or a column of the data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from ase import Atoms
from pymatgen.core import Structure

from moe_mat.crystals.duplicates import same_crystals
from moe_mat.crystals.structures import as_structure

COLUMN = "column:"
"""In front of the name of a column that is called as another kind of group is."""


def group_labels(kind: str, structures: Sequence[Structure], table: pd.DataFrame) -> list[object]:
    """What each crystal belongs to ``[n]``.

    Args:
        kind: ``formula``, ``structure``, ``chemical_system``, or a column of the table, also as ``column:NAME``.
        structures: The crystals.
        table: Their rows.

    Raises:
        ValueError: When there is no such column, or it has no value for a crystal; names the crystal.
    """
    if kind == "structure":
        return same_crystals(structures).tolist()
    if kind == "formula":
        return formula_groups(structures).tolist()
    if kind == "chemical_system":
        return chemical_system_groups(structures).tolist()
    kind = kind.removeprefix(COLUMN)
    if kind not in table:
        known = ["formula", "structure", "chemical_system", "cluster", *map(str, table.columns)]
        close = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"data.group is {kind!r}, which is no column of the data: {hint}")
    if (missing := table[kind].isna()).any():
        name = table["material_id"][missing].iloc[0]
        raise ValueError(f"column {kind!r} has no group for {int(missing.sum())} crystals, the first is {name!r}")
    return table[kind].tolist()


def formula_groups(structures: Iterable[Structure | Atoms]) -> np.ndarray:
    """The reduced formula of each crystal ``[n]``, without oxidation states: ``groups`` of scikit-learn.

    Example:
        >>> from ase.build import bulk
        >>> formula_groups([bulk("NaCl", "rocksalt", 5.6), bulk("NaCl", "cesiumchloride", 3.4)]).tolist()
        ['NaCl', 'NaCl']
    """
    return np.array([as_structure(one).composition.element_composition.reduced_formula for one in structures])


def chemical_system_groups(structures: Iterable[Structure | Atoms]) -> np.ndarray:
    """The elements of each crystal ``[n]``, such as ``Cl-Na``: ``groups`` of scikit-learn.

    Example:
        >>> from ase.build import bulk
        >>> chemical_system_groups([bulk("NaCl", "rocksalt", 5.6)]).tolist()
        ['Cl-Na']
    """
    return np.array([as_structure(one).composition.element_composition.chemical_system for one in structures])
