"""Tables of crystals in JSON: a file, a file of lines that are read one after the other, or a folder of pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure

from moe_mat.crystals.dataframe_tables import dataframe_table, structures_of
from moe_mat.crystals.json_records import STRUCTURE, Records, is_note, records_of
from moe_mat.crystals.structure_dicts import kind_of_dict
from moe_mat.crystals.structures import as_structure
from moe_mat.crystals.tables import Row, Table, UnreadableError, in_order
from moe_mat.files.compressed import open_text

_LINES = (".jsonl", ".ndjson")
_SUFFIXES = (".json", *_LINES)
_PROBE_ROWS = 50

Place = str
"""Where in a file some records are, for messages."""


def is_json(path: Path) -> bool:
    """Whether a file is JSON by its name, packed or not."""
    return _suffix(path) in _SUFFIXES


def json_table(path: Path, structure_column: str | None) -> Table:
    """Rows of a JSON file: structures, records or documents, in a list or by id; a stored DataFrame; pages; or lines.

    Raises:
        UnreadableError: When it is damaged.
        ValueError: When it is not recognised; says what it looks like.
    """
    if _suffix(path) in _LINES:
        return _streamed(str(path), partial(_lines, path), structure_column)
    try:
        data = _parse(path)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise UnreadableError(f"{path} is not whole JSON ({error}): copy or fetch it again") from error
        return _streamed(str(path), partial(_lines, path), structure_column)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path} is not whole JSON ({error}): copy or fetch it again") from error
    table = _dataframe(path, data, structure_column or STRUCTURE)
    return dataframe_table(str(path), table, structure_column)


def pages_of_folder(files: Sequence[Path]) -> bool:
    """Whether the files of a folder are pages of one table, and not a crystal each: all are JSON, and the first is one.

    Args:
        files: All structure files of the folder.
    """
    if not files or not all(map(is_json, files)):
        return False
    if _suffix(files[0]) in _LINES:
        return True
    try:
        data = _parse(files[0])
        return kind_of_dict(data) not in ("pymatgen", "ase") and bool(records_of(data))
    except json.JSONDecodeError as error:
        return error.msg == "Extra data"
    except (ValueError, OSError, KeyError, TypeError):
        return False


def pages_table(source: Path, files: Sequence[Path], structure_column: str | None) -> Table:
    """Rows of several JSON files, as one table in the order of the files, of which one at a time is in memory.

    Args:
        source: Their folder, for messages.
        files: Of any form that `json_table` reads.
        structure_column: The column of the crystals; found by its content where None.
    """

    def parts() -> Iterator[tuple[Place, Records]]:
        for file in files:
            if _suffix(file) in _LINES:
                yield from _lines(file)
                continue
            try:
                data = _parse(file)
            except json.JSONDecodeError as error:
                if error.msg != "Extra data":
                    raise UnreadableError(f"{file} is not whole JSON ({error}): copy or fetch it again") from error
                yield from _lines(file)
                continue
            except (ValueError, OSError) as error:
                raise UnreadableError(f"{file} is not whole JSON ({error}): copy or fetch it again") from error
            yield str(file), _records(str(file), data)

    return _streamed(str(source), parts, structure_column)


def _structure(crystal: Any) -> Structure:
    if crystal is None:
        raise ValueError("there is no structure")
    return as_structure(crystal)


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _parse(path: Path) -> Any:
    try:
        with open_text(path) as stream:
            data = json.load(stream)
        if isinstance(data, dict) and data.get("@class") == "DataFrame":  # monty keeps a DataFrame as JSON in JSON
            return json.loads(data["data"])
        return data
    except RecursionError as error:
        raise UnreadableError(f"{path} nests lists in each other a thousand times, as no data do") from error


def _records(place: Place, data: Any, structure_column: str = STRUCTURE) -> Records:
    try:
        return records_of(data, structure_column)
    except ValueError as error:
        raise UnreadableError(f"{place} {error}") from error


def _dataframe(path: Path, data: Any, structure_column: str) -> pd.DataFrame:
    """The table of a file, in the forms of pandas and all others."""
    try:
        if isinstance(data, dict):
            if {"columns", "data"} <= data.keys():  # pandas' "split", matminer's own
                return pd.DataFrame(data["data"], columns=data["columns"], index=data.get("index"))
            column = data.get(structure_column)
            if isinstance(column, (dict, list)) and kind_of_dict(column) is None:  # pandas' "columns" and "list"
                return pd.DataFrame(data)
        found = _records(str(path), data, structure_column)
        return pd.DataFrame(found.rows, index=found.names)
    except UnreadableError:
        raise
    except Exception as error:  # pandas takes what is not as it expects in many ways
        raise UnreadableError(f"{path} holds no table ({error!r}): columns and rows do not fit together") from error


def _lines(path: Path) -> Iterator[tuple[Place, Records]]:
    """The records of each line."""
    number = 0
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                data = json.loads(line) if line.strip() else None
                if data is not None and not is_note(data):
                    place = f"{path}, line {number}"
                    # A record may keep its crystal under any name.
                    plain = isinstance(data, dict) and kind_of_dict(data) is None and "data" not in data
                    yield place, Records([data]) if plain else _records(place, data)
    except UnreadableError:
        raise
    except RecursionError as error:
        raise UnreadableError(f"{path} nests lists in each other a thousand times, as no data do") from error
    except (ValueError, OSError) as error:
        at = number if isinstance(error, json.JSONDecodeError) else number + 1
        raise UnreadableError(f"{path} is damaged at line {at} ({error}): copy or fetch it again") from error


def _streamed(source: str, parts: Callable[[], Iterator[tuple[Place, Records]]], structure_column: str | None) -> Table:
    """A table of records that are parsed some at a time, twice: once for the names of their columns."""
    columns: dict[str, None] = {}
    probe: list[dict[str, Any]] = []
    for _, records in parts():
        for row in records.rows:
            columns |= dict.fromkeys(map(str, row))
        probe += records.rows[: _PROBE_ROWS - len(probe)]
    if structure_column is None:
        structure_column = structures_of(source, pd.DataFrame(probe))
    elif structure_column not in columns:
        raise ValueError(f"{source} has no column {structure_column!r}: it has {', '.join(columns)}")
    others = [name for name in columns if name != structure_column]

    def rows() -> Iterator[Row]:
        number = 0
        for place, records in parts():
            for at, record in enumerate(records.rows):
                values = {name: record.get(name) for name in others}
                name = str(number) if records.names is None else records.names[at]
                where = place if len(records.rows) == 1 else f"{place}, row {at}"
                yield Row(where, name, values, partial(_structure, record.get(structure_column)))
                number += 1

    return Table(source, others, in_order(rows))
