"""Tables of crystals in DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd
from ase import Atoms
from pymatgen.core import Composition
from pymatgen.core.structure import SiteCollection

from moe_mat.crystals.formula_tables import formula_column, formula_row, is_formula
from moe_mat.crystals.json_records import STRUCTURE, missing_structures, records_of
from moe_mat.crystals.structures import as_structure
from moe_mat.crystals.tables import Row, Table, UnreadableError, in_order

_PROBE_ROWS = 50


def dataframe_table(source: str, table: pd.DataFrame, structure_column: str | None) -> Table:
    """Rows of a DataFrame with a column of structures, or of formulas; its index gives the names."""
    columns, names = list(map(str, table.columns)), list(map(str, table.index))
    if len(set(columns)) < len(columns):
        raise UnreadableError(f"{source} names a column twice: {', '.join(columns)}")
    table = table.set_axis(columns, axis=1)
    if structure_column is None:
        structure_column = structures_of(source, table)
    elif structure_column not in columns:
        raise ValueError(f"{source} has no column {structure_column!r}: it has {', '.join(columns)}")
    if len(set(names)) < len(names):
        names = list(map(str, range(len(names))))
    formulas = structure_column == formula_column(columns)
    formulas = formulas or any(map(is_formula, table[structure_column].head(_PROBE_ROWS)))

    def rows() -> Iterator[Row]:
        for number, record in enumerate(table.itertuples(index=False, name=None)):
            values = dict(zip(columns, record, strict=True))
            if formulas and isinstance(values[structure_column], str | Composition | float | None):
                yield formula_row(f"{source}, row {number}", names[number], values, structure_column)
                continue
            crystal = values.pop(structure_column)
            yield Row(f"{source}, row {number}", names[number], values, partial(as_structure, crystal))

    others = [name for name in columns if formulas or name != structure_column]
    return Table(source, others, in_order(rows), has_structures=not formulas)


def objects_table(crystals: Any, structure_column: str | None) -> Table:
    """Rows of crystals that are objects: structures, atoms or dicts, one or several; of dicts with their values.

    Raises:
        ValueError: When dicts are of no known form.
    """
    one = isinstance(crystals, SiteCollection | Atoms | Mapping)
    several = [crystals] if one else list(crystals)
    if several and all(isinstance(crystal, Mapping) for crystal in several):
        found = records_of([dict(crystal) for crystal in several], structure_column or STRUCTURE)
        table = pd.DataFrame(found.rows, index=found.names)
    else:
        table = pd.DataFrame({structure_column or STRUCTURE: pd.Series(several, dtype=object)})
    return dataframe_table("the given crystals", table, structure_column)


def structures_of(source: str, table: pd.DataFrame) -> str:
    """The column that holds structures.

    Raises:
        ValueError: When none does; names those that there are.
    """
    if "structure" in table.columns:
        return "structure"
    for name in table.columns:
        for value in table[name].head(_PROBE_ROWS):
            if isinstance(value, str | Composition):
                continue
            try:
                as_structure(value)
            except (TypeError, ValueError):
                continue
            return name
    if (column := formula_column(table.columns)) is not None:
        return column
    raise ValueError(f"no column of {source} holds structures: {missing_structures(list(map(str, table.columns)))}")
