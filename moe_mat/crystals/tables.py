"""What all tables of crystals are: a stream of rows whose structures are built only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
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
class Wanted:
    """What of a table is wanted. More columns may come than these, and never other rows.

    Attributes:
        start: the first row, from 0.
        stop: the row after the last one; None for all.
        columns: those beside the structure; None for all.
        structures: whether any row's structure will be built.
        formulas: whether a `Formula` is enough in place of each structure; structures may come all the same.
    """

    start: int = 0
    stop: int | None = None
    columns: tuple[str, ...] | None = None
    structures: bool = True
    formulas: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with known columns.

    Attributes:
        source: the file or folder.
        columns: names of the columns beside the structure.
        read: starts the stream of wanted rows anew.
        has_structures: whether rows are crystals, or formulas alone.
    """

    source: str
    columns: list[str]
    read: Callable[[Wanted], Iterator[Row]]
    has_structures: bool = True

    def rows(self, wanted: Wanted = Wanted()) -> Iterator[Row]:
        """Start the stream of rows anew."""
        return self.read(wanted)


def in_order(rows: Callable[[], Iterator[Row]]) -> Callable[[Wanted], Iterator[Row]]:
    """How rows are read that come only one after the other, which is quick as long as no structure is built."""
    return lambda wanted: islice(rows(), wanted.start, wanted.stop)


class UnreadableError(ValueError):
    """A file as a whole that cannot be read; there is nothing to skip to."""
