"""The crystals that the vectors of a table belong to: found by their names once, and ordered by structure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_mat.crystals.errors import CrystalError, LeftOut, OnError, UnsupportedCrystalError
from moe_mat.crystals.fingerprint import DIGITS, fingerprint
from moe_mat.crystals.readers import iter_crystals, open_table
from moe_mat.crystals.training_crystals import formula_hash
from moe_mat.files.progress import Progress
from moe_mat.zoo.vector_tables import VectorTable

# Of its length: what arithmetic in half precision may change of a vector when the cell of its crystal is written
# differently.
SAME_VECTOR = 0.01


class Refusals:
    """What cannot be used: raised, or listed.

    Args:
        on_error: "raise" or "skip".

    Attributes:
        left_out: The list.
    """

    def __init__(self, on_error: OnError) -> None:
        self.on_error: OnError = on_error
        self.left_out: list[LeftOut] = []

    def add(self, left_out: LeftOut) -> None:
        """Leave something out, or raise ``CrystalError``."""
        if self.on_error == "raise":
            raise CrystalError(left_out)
        self.left_out.append(left_out)


class NamedRows:
    """The names in a table; a container that notes which others it was asked for.

    Args:
        table: The table.
        refusals: Receives rows without a name.

    Attributes:
        of_name: Name to the number of its first row.
        first: Row to the first one of the same name ``[n_rows]``, -1 for a row without a name.
        others: Names that are not in it.
    """

    def __init__(self, table: VectorTable, refusals: Refusals) -> None:
        self.table = table
        self.of_name: dict[str, int] = {}
        first = array("q")  # of a million crystals, Python's own numbers and small arrays would take as much as vectors
        for row, name in enumerate(table.ids()):
            if name is None:
                refusals.add(
                    LeftOut(f"{table.path}, row {row}", None, table.id_column, "the id is missing: fill it in")
                )
            first.append(-1 if name is None else self.of_name.setdefault(name, row))
        self.first = np.frombuffer(first, dtype=np.int64)
        self.others: list[str] = []

    def __contains__(self, name: object) -> bool:
        known = name in self.of_name
        if not known:
            self.others.append(str(name))
        return known


@dataclass(frozen=True, slots=True, eq=False)
class TableCrystals:
    """The crystals of a table, ordered by formula, those of one formula by the first number of the fingerprint.

    Attributes:
        rows: The table's names.
        names: Of the crystals.
        formulas: See `formula_hash` ``[n]``, as int64.
        fingerprints: ``[n, n_numbers]``, float32.
    """

    rows: NamedRows
    names: list[str]
    formulas: NDArray[np.int64]
    fingerprints: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path, rows: NamedRows, refusals: Refusals) -> TableCrystals:
        """Find the crystals in a file by the names in the table.

        Raises:
            ValueError: When the file holds no crystals, or none of these.
        """
        table = rows.table
        id_column = table.id_column if table.id_column in open_table(path).columns else None
        found = iter_crystals(
            path, id_column=id_column, on_error=refusals.on_error, left_out=refusals.left_out, only=rows
        )
        names: list[str] = []
        formulas, numbers = array("Q"), array("f")
        with Progress("recognising crystals", total=len(rows.of_name)) as progress:
            for crystal in found:
                progress.advance()
                try:
                    numbers.extend(fingerprint(crystal.structure).tolist())
                except UnsupportedCrystalError as error:
                    refusals.add(LeftOut(crystal.source, crystal.material_id, None, str(error)))
                    continue
                names.append(crystal.material_id)
                formulas.append(formula_hash(crystal.structure))
        if not names:
            asked, there = next(iter(rows.of_name), None), next(iter(rows.others), None)
            raise ValueError(
                f"no crystal of {path} (such as {there!r}) has a vector in {table.path} (such as {asked!r}): the ids "
                "of both must be the same; a column of ids that has one name in both files is taken from both"
            )
        hashes = np.frombuffer(formulas, dtype=np.uint64).view(np.int64)
        fingerprints = np.frombuffer(numbers, dtype=np.float32).reshape(len(names), -1)
        order = np.lexsort((fingerprints[:, 0], hashes))
        return cls(rows, [names[place] for place in order], hashes[order], fingerprints[order])

    def vectors(self, refusals: Refusals) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Read the vectors of the crystals from the table.

        Returns:
            Vectors ``[n, width]``, and which of them can be used ``[n]``.
        """
        table, first = self.rows.table, self.rows.first
        place_of_row = np.full(len(first), -1, dtype=np.int64)
        place_of_row[[self.rows.of_name[name] for name in self.names]] = np.arange(len(self.names))
        places = np.where(first < 0, -1, place_of_row[first])
        vectors = np.zeros((len(self.names), table.width), dtype=table.dtype)
        usable = np.zeros(len(self.names), dtype=bool)
        start = 0
        for values, problems in table.vectors():
            own = places[start : start + len(values)]
            repeated = first[start : start + len(values)] < np.arange(start, start + len(values))
            good = (own >= 0) & ~repeated
            good[[row for row in problems if own[row] >= 0]] = False
            vectors[own[good]], usable[own[good]] = values[good], True
            for row in np.flatnonzero((own >= 0) & ~good):
                reason = problems.get(int(row))
                if reason is None and differ(values[row], vectors[own[row]]):
                    reason = "this id occurs a second time, with another vector: remove one of the two"
                if reason is not None:
                    usable[own[row]] = False
                    source = f"{table.path}, row {start + row}"
                    refusals.add(LeftOut(source, self.names[own[row]], ", ".join(table.vector_columns[:3]), reason))
            start += len(values)
        return vectors, usable

    def distinct(
        self, vectors: NDArray[np.floating], usable: NDArray[np.bool_], refusals: Refusals
    ) -> NDArray[np.bool_]:
        """Those of the usable crystals that are not the same as an earlier one that has another vector ``[n]``."""
        kept = usable.copy()
        for place, other in self._same_crystals():
            if kept[place] and kept[other] and differ(vectors[place], vectors[other]):
                kept[other] = False
                reason = (
                    f"it is the same crystal as {self.names[place]!r}, and has another vector: remove one of the two; "
                    "vectors must not depend on how the cell is written (a mean over the atoms, and no sum)"
                )
                refusals.add(LeftOut(str(self.rows.table.path), self.names[other], None, reason))
        return kept

    def _same_crystals(self) -> Iterator[tuple[int, int]]:
        for step in range(1, len(self.names)):
            near = self.formulas[step:] == self.formulas[:-step]
            near &= np.abs(self.fingerprints[step:, 0] - self.fingerprints[:-step, 0]) <= DIGITS
            places = np.flatnonzero(near)
            if not len(places):
                return
            differences = np.abs(self.fingerprints[places + step] - self.fingerprints[places]).max(axis=1)
            for place in places[differences <= DIGITS].tolist():
                yield place, place + step


def differ(vector: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    """Whether two vectors are not those of one crystal."""
    a, b = vector.astype(np.float64), other.astype(np.float64)
    return bool(np.linalg.norm(a - b) > SAME_VECTOR * max(np.linalg.norm(a), np.linalg.norm(b)))
