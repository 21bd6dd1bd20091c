"""Tables of crystals: each becomes a stream of rows whose structures are built only when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ase.io.extxyz import key_val_str_to_dict
from monty.io import zopen
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.structures import as_structure, structure_from_arrays

OPTIMADE_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
_PARQUET_ROWS_AT_ONCE = 512
_PROBE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One crystal of a table, not yet looked at.

    Attributes:
        source: file and place, for messages.
        name: what to call it where the table has no column of ids.
        values: the columns beside the structure.
        load: builds the structure; raises ValueError or TypeError with the reason why it cannot.
        problem: what is wrong with the row itself.
    """

    source: str
    name: str
    values: dict[str, Any]
    load: Callable[[], Structure]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with known columns.

    Attributes:
        source: the file or folder.
        columns: names of the columns beside the structure.
        rows: starts the stream of rows anew.
    """

    source: str
    columns: list[str]
    rows: Callable[[], Iterator[Row]]


class UnreadableError(ValueError):
    """A file as a whole that cannot be read; there is nothing to skip to."""


# Parquet --------------------------------------------------------------------------------------------------------------


def parquet_table(path: Path) -> Table:
    """Rows of a Parquet file with the OPTIMADE columns, read a batch at a time."""
    try:
        columns = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{path} is not a whole Parquet file ({error}): copy or fetch it again") from error
    if missing := [name for name in OPTIMADE_COLUMNS if name not in columns]:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}: crystals are read from the OPTIMADE columns "
            f"{', '.join(OPTIMADE_COLUMNS)}; the file has {', '.join(columns)}"
        )
    others = [name for name in columns if name not in OPTIMADE_COLUMNS]
    return Table(str(path), others, lambda: _parquet_rows(path, others))


def _parquet_rows(path: Path, others: list[str]) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS_AT_ONCE):
                lattices, positions, species = (batch.column(name) for name in OPTIMADE_COLUMNS)
                crystals = zip(_vectors(lattices), _vectors(positions), species.to_pylist(), strict=True)
                records = batch.select(others).to_pylist() if others else [{} for _ in range(len(batch))]
                for record, crystal in zip(records, crystals, strict=True):
                    yield Row(f"{path}, row {number}", str(number), record, partial(_optimade_structure, *crystal))
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{path} is damaged after row {number} ({error}): copy or fetch it again") from error


def _vectors(column: pa.Array) -> list[Any]:
    """Each row's list of 3-vectors as an [n, 3] array; as nested lists where one of them is not that regular."""
    inner = column.flatten()
    if column.null_count == 0 and inner.null_count == 0:
        flat = inner.flatten()
        regular = pa.types.is_fixed_size_list(inner.type) or inner.value_lengths().unique().to_pylist() == [3]
        if regular and len(flat) == 3 * len(inner) and pa.types.is_floating(flat.type):
            vectors: NDArray[np.float64] = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, 3)
            if pa.types.is_fixed_size_list(column.type):
                return list(vectors.reshape(-1, column.type.list_size, 3))
            return np.split(vectors, np.cumsum(column.value_lengths().to_numpy())[:-1])
    return column.to_pylist()


def _optimade_structure(lattice: Any, positions: Any, species: Any) -> Structure:
    for name, value in zip(OPTIMADE_COLUMNS, (lattice, positions, species), strict=True):
        if value is None:
            raise ValueError(f"{name} is missing")
    if None in species:
        raise ValueError(f"species_at_sites has a gap at site {species.index(None)}")
    return structure_from_arrays(lattice, species, positions)


# JSON, DataFrames and extended XYZ ------------------------------------------------------------------------------------


def json_table(path: Path, structure_column: str | None) -> Table:
    """Rows of a JSON file: structures or records, in a list or by id, or a stored DataFrame."""
    try:
        with zopen(path, "rt", encoding="utf-8") as stream:
            data = json.load(stream)
        if isinstance(data, dict) and data.get("@class") == "DataFrame":  # monty keeps a DataFrame as JSON in JSON
            data = json.loads(data["data"])
    except (ValueError, OSError, EOFError) as error:
        raise UnreadableError(f"{path} is not whole JSON ({error}): copy or fetch it again") from error
    table = _json_dataframe(data, structure_column or "structure")
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
    """Rows of a DataFrame with a column of structures; its index gives the names."""
    if structure_column is None:
        structure_column = _object_column(source, table)
    elif structure_column not in table.columns:
        raise ValueError(f"{source} has no column {structure_column!r}: it has {', '.join(map(str, table.columns))}")
    columns = list(map(str, table.columns))
    names = list(map(str, table.index)) if table.index.is_unique else list(map(str, range(len(table))))

    def rows() -> Iterator[Row]:
        for number, record in enumerate(table.itertuples(index=False, name=None)):
            values = dict(zip(columns, record, strict=True))
            crystal = values.pop(structure_column)
            yield Row(f"{source}, row {number}", names[number], values, partial(as_structure, crystal))

    others = [name for name in columns if name != structure_column]
    return Table(source, others, rows)


def _object_column(source: str, table: pd.DataFrame) -> str:
    if "structure" in table.columns:
        return "structure"
    for name in table.columns:
        for value in table[name].head(_PROBE_ROWS):
            try:
                as_structure(value)
            except (TypeError, ValueError):
                continue
            return name
    raise ValueError(f"no column of {source} holds structures: its columns are {', '.join(map(str, table.columns))}")


def frames_table(path: Path) -> Table:
    """Frames of an extended XYZ file; the keys of the comment lines are the columns."""
    columns = _frame_columns(path)
    return Table(str(path), list(columns), lambda: _frame_rows(path, columns))


def _frame_columns(path: Path) -> dict[str, None]:
    keys: dict[str, None] = {}  # in their order; each frame has its own
    try:
        with zopen(path, "rt", encoding="utf-8") as stream:
            while count := stream.readline().strip():
                keys |= dict.fromkeys(key_val_str_to_dict(stream.readline()))
                for _ in islice(stream, int(count)):
                    pass
    except (ValueError, OSError, EOFError) as error:
        raise UnreadableError(f"{path} is not (extended) XYZ: {error}") from error
    return {key: None for key in keys if key not in ("Lattice", "Properties", "pbc")}


def _frame_rows(path: Path, columns: dict[str, None]) -> Iterator[Row]:
    number = 0
    try:
        for atoms in ase.io.iread(path, index=":", format="extxyz"):
            # ASE moves energies and the like from the comment line to a calculator.
            results = {} if atoms.calc is None else atoms.calc.results
            values = {key: value for key, value in results.items() if key in columns} | atoms.info
            yield Row(f"{path}, frame {number}", str(number), values, partial(as_structure, atoms))
            number += 1
    except Exception as error:  # ASE's parser fails in any way there is
        raise UnreadableError(f"{path} is damaged at or after frame {number} ({error})") from error
