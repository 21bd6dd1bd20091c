"""What all tables of crystals are: a stream of rows whose structures are built only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure


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
