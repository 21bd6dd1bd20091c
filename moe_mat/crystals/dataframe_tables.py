"""Tables of crystals in JSON, in any of the forms that matminer, pandas and monty write, and in DataFrames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Composition

from moe_mat.crystals.formula_tables import formula_column, formula_row, is_formula
from moe_mat.crystals.structures import as_structure
from moe_mat.crystals.tables import Row, Table, UnreadableError, in_order
from moe_mat.files.compressed import open_text

_PROBE_ROWS = 50


def json_table(path: Path, structure_column: str | None) -> Table:
    """Rows of a JSON file: structures or records, in a list or by id, or a stored DataFrame."""
    try:
        with open_text(path) as stream:
            data = json.load(stream)
        if isinstance(data, dict) and data.get("@class") == "DataFrame":  # monty keeps a DataFrame as JSON in JSON
            data = json.loads(data["data"])
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path} is not whole JSON ({error}): copy or fetch it again") from error
    except RecursionError as error:
        raise UnreadableError(f"{path} nests lists in each other a thousand times, as no data do") from error
    try:
        table = _json_dataframe(data, structure_column or "structure")
    except Exception as error:  # pandas takes what is not as it expects in many ways
        raise UnreadableError(f"{path} holds no table ({error!r}): columns and rows do not fit together") from error
    if table is None:
        raise ValueError(
            f"{path} holds no crystals that can be recognised: a list of structures or of records, a dict of either by "
            "id, or a DataFrame stored by matminer, pandas or monty is needed"
        )
    return dataframe_table(str(path), table, structure_column)


def _json_dataframe(data: Any, structure_column: str) -> pd.DataFrame | None:
    if _is_structure(data):
        return pd.DataFrame({structure_column: [data]})
    if isinstance(data, list):
        return _entries_dataframe(data, None, structure_column)
    if not isinstance(data, dict):
        return None
    if {"columns", "data"} <= data.keys():  # pandas' "split", matminer's own
        return pd.DataFrame(data["data"], columns=data["columns"], index=data.get("index"))
    column = data.get(structure_column)
    if isinstance(column, (dict, list)) and not _is_structure(column):  # pandas' "columns" and "list"
        return pd.DataFrame(data)
    return _entries_dataframe(list(data.values()), list(data), structure_column)


def _entries_dataframe(entries: list[Any], ids: list[str] | None, structure_column: str) -> pd.DataFrame | None:
    if not all(isinstance(entry, dict) for entry in entries):
        return None
    if all(map(_is_structure, entries)):
        return pd.DataFrame({structure_column: entries}, index=ids)
    return pd.DataFrame(entries, index=ids)


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict) and {"lattice", "sites"} <= value.keys()


def dataframe_table(source: str, table: pd.DataFrame, structure_column: str | None) -> Table:
    """Rows of a DataFrame with a column of structures, or of formulas; its index gives the names."""
    columns, names = list(map(str, table.columns)), list(map(str, table.index))
    if len(set(columns)) < len(columns):
        raise UnreadableError(f"{source} names a column twice: {', '.join(columns)}")
    table = table.set_axis(columns, axis=1)
    if structure_column is None:
        structure_column = _object_column(source, table)
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


def _object_column(source: str, table: pd.DataFrame) -> str:
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
    columns = ", ".join(map(str, table.columns))
    raise ValueError(f"no column of {source} holds structures, and none is called formula: its columns are {columns}")
