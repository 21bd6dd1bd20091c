"""Crystals in an SQLite database of ASE: a row each, and its key-value pairs are the columns.

The file is opened for reading alone: ASE itself would make a database of any SQLite file that is none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.json_records import ASE_RESULTS
from moe_mat.crystals.structure_dicts import structure_from_dict
from moe_mat.crystals.tables import Row, Table, UnreadableError, Wanted

# Formats before it have other columns.
OLDEST = 5
_MAGIC = b"SQLite format 3\0"
_VALUES = ("id", "unique_id", *ASE_RESULTS)
_CRYSTAL = ("numbers", "positions", "cell", "pbc")


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database, or by its name should be one."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC or path.suffix.lower() == ".db"


def ase_table(path: Path) -> Table:
    """Rows of a database of ASE in the order of their ids, streamed from any row on.

    Raises:
        UnreadableError: When it is damaged.
        ValueError: When it is a database of something else, or in an old format; says what it holds.
    """
    try:
        with closing(_open(path)) as connection:
            _check(path, connection)
            keys = [key for (key,) in connection.execute("SELECT DISTINCT key FROM keys ORDER BY key")]
            counted = ", ".join(f"COUNT({name})" for name in ASE_RESULTS)
            counts = connection.execute(f"SELECT {counted} FROM systems").fetchone()
            known = [name for name, count in zip(ASE_RESULTS, counts, strict=True) if count]
    except sqlite3.Error as error:
        raise UnreadableError(f"{path} is not a whole SQLite database ({error}): copy or fetch it again") from error
    columns = list(dict.fromkeys(["id", "unique_id", *known, *map(str, keys)]))
    return Table(str(path), columns, lambda wanted: _rows(path, columns, wanted))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := {"systems", "keys", "information"} - tables:
        raise ValueError(
            f"{path} is an SQLite database, but not of ASE: it has the tables {', '.join(sorted(tables)) or '(none)'}, "
            f"and not {', '.join(sorted(missing))}"
        )
    found = connection.execute("SELECT value FROM information WHERE name = 'version'").fetchone()
    version = int(found[0]) if found and str(found[0]).isdecimal() else 0
    if version < OLDEST:
        raise ValueError(f"{path} is a database of an old ASE: convert it by python -m ase.db.convert {path}")


def _rows(path: Path, columns: list[str], wanted: Wanted) -> Iterator[Row]:
    crystal = _CRYSTAL if wanted.structures else ("NULL",) * len(_CRYSTAL)
    names = ", ".join([*_VALUES, "key_value_pairs", *crystal])
    count = -1 if wanted.stop is None else max(0, wanted.stop - wanted.start)
    number: Any = "none"
    try:
        with closing(_open(path)) as connection:
            for found in connection.execute(
                f"SELECT {names} FROM systems ORDER BY id LIMIT ? OFFSET ?", (count, wanted.start)
            ):
                number, pairs = found[0], json.loads(found[len(_VALUES)])
                values = dict(zip(_VALUES, found, strict=False)) | pairs
                values = {name: values.get(name) for name in columns}
                load = partial(_structure, *found[len(_VALUES) + 1 :])
                yield Row(f"{path}, row {number}", str(number), values, load)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise UnreadableError(f"{path} is damaged after row {number} ({error}): copy or fetch it again") from error


def _structure(numbers: Any, positions: Any, cell: Any, periodic: Any) -> Structure:
    arrays = [numbers, positions, cell]
    if not all(isinstance(one, bytes) for one in arrays) or not isinstance(periodic, int):
        raise ValueError("the row has no numbers, positions or cell")
    return structure_from_dict(
        {
            "numbers": np.frombuffer(numbers, "<i4"),
            "positions": np.frombuffer(positions, "<f8").reshape(-1, 3),
            "cell": np.frombuffer(cell, "<f8").reshape(3, 3),
            "pbc": [bool(periodic & axis) for axis in (1, 2, 4)],
        }
    )
