"""Names of crystals: which column has them, and which occur twice among any number of rows."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.crystals.errors import OnError
from moe_mat.crystals.structures import CrystalFilter
from moe_mat.crystals.tables import Row, Table, Wanted

logger = logging.getLogger(__name__)

ID_COLUMNS = ("material_id", "mpid", "mp_id", "jid", "immutable_id", "id", "row")
"""Columns taken for ids where none is asked for, the first that is there and repeats nothing."""


def as_id(value: Any) -> str | None:
    """A cell of a table as the name of a crystal; None where there is none."""
    if isinstance(value, str):
        return value or None
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def id_of(row: Row, id_column: str | None) -> str | None:
    """The name of a row's crystal; a file that a folder's CSV does not name has no values, and keeps its own."""
    return as_id(row.values[id_column]) if id_column in row.values else row.name


def find_id_column(table: Table) -> str | None:
    """The column of the ids, where none is named; None where rows are called by their files or numbers."""
    found = [name for name in ID_COLUMNS if name in table.columns]
    if len(found) < 2:
        return found[0] if found else None
    for name in found:
        if not _repeats(table, name):
            if name != found[0]:
                logger.warning("%s: column %r repeats values, so the ids are those of %r", table.source, found[0], name)
            return name
    return found[0]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An id that several rows have.

    Attributes:
        kept: The row whose crystal has it.
        later: Rows after this one.
    """

    kept: int
    later: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScannedIds:
    """What is found by reading the ids of a table.

    Attributes:
        n_rows: Number of rows, whether they can be used or not.
        repeated: By id.
    """

    n_rows: int
    repeated: dict[str, Repeated]

    def taken(self, rows: range) -> frozenset[str]:
        """Ids of some rows that a crystal before them has."""
        return frozenset(
            name
            for name, one in self.repeated.items()
            if one.kept < rows.start and any(row in rows for row in one.later)
        )


def scan_ids(table: Table, id_column: str | None, *, on_error: OnError = "raise") -> ScannedIds:
    """Count the rows of a table and find the ids that occur twice, eight bytes an id.

    No structure is built, except of crystals whose ids occur twice: the first of them that can be used has the id.

    Args:
        table: Of any length.
        id_column: Column of the ids; None where rows are called by their files or numbers.
        on_error: "raise" stops at the first id that occurs twice.

    Raises:
        CrystalError: An id occurs twice; names it and its row.
    """
    wanted = Wanted(columns=() if id_column is None else (id_column,), structures=False)
    hashes, n_rows = array("q"), 0
    for row in table.rows(wanted):
        n_rows += 1
        if (name := id_of(row, id_column)) is not None:
            hashes.append(hash(name))
    suspects = _twice(hashes)
    del hashes
    if not suspects:
        return ScannedIds(n_rows, {})
    kept: dict[str, int] = {}
    later: dict[str, list[int]] = {}
    crystal_filter = CrystalFilter(table.source, on_error=on_error, left_out=[])
    for number, row in enumerate(table.rows(Wanted(columns=wanted.columns))):
        name = id_of(row, id_column)
        if name is None or row.problem is not None or hash(name) not in suspects:
            continue
        if name in kept:
            later.setdefault(name, []).append(number)
        if crystal_filter.accept(row.source, name, {}, row.load) is not None:
            kept[name] = number
    return ScannedIds(n_rows, {name: Repeated(kept[name], tuple(rows)) for name, rows in later.items()})


def _repeats(table: Table, column: str) -> bool:
    """Whether a column has a value twice."""

    def values() -> Iterator[str | None]:
        rows = table.rows(Wanted(columns=(column,), structures=False))
        return (as_id(row.values.get(column)) for row in rows)

    suspects = _twice(array("q", map(hash, values())))
    if not suspects:
        return False
    seen: Counter[str | None] = Counter()
    for value in values():
        if hash(value) in suspects:
            seen[value] += 1
            if seen[value] > 1:
                return True
    return False


def _twice(hashes: array[int]) -> frozenset[int]:
    """Those that occur twice: of equal values, or, once in a great while, of others."""
    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64)) if hashes else np.empty(0, dtype=np.int64)
    return frozenset(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist())
