"""Groups of crystals that are split as one: by formula, structure, chemical system, or a column of the data."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pandas as pd
from pymatgen.core import Structure

from moe_mat.crystals.duplicates import same_crystals


def group_labels(kind: str, structures: Sequence[Structure], table: pd.DataFrame) -> list[object]:
    """What each crystal belongs to ``[n]``.

    Args:
        kind: ``formula``, ``structure``, ``chemical_system``, or a column of the table.
        structures: The crystals.
        table: Their rows.

    Raises:
        ValueError: When there is no such column, or it has no value for a crystal; names the crystal.
    """
    if kind == "structure":
        return same_crystals(structures).tolist()
    if kind in ("formula", "chemical_system"):
        compositions = [structure.composition.element_composition for structure in structures]
        return [one.reduced_formula if kind == "formula" else one.chemical_system for one in compositions]
    if kind not in table:
        known = ["formula", "structure", "chemical_system", *map(str, table.columns)]
        close = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"data.group is {kind!r}, which is no column of the data: {hint}")
    if (missing := table[kind].isna()).any():
        name = table["material_id"][missing].iloc[0]
        raise ValueError(f"column {kind!r} has no group for {int(missing.sum())} crystals, the first is {name!r}")
    return table[kind].tolist()
