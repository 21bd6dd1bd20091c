"""Tables without structures: a column of formulas stands for the crystals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pymatgen.core import Composition

from moe_mat.crystals.formulas import Formula, as_formula
from moe_mat.crystals.tables import Row, Table, UnreadableError, in_order

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty", "chemical_formula")
"""What columns of formulas are called, the first that is there; capital letters do not count."""

_ROWS_AT_ONCE = 2**14


def formula_column(columns: Iterable[str]) -> str | None:
    """The column that is called as formulas are.

    Example:
        >>> formula_column(["gap", "Composition", "chemical_formula"])
        'Composition'
    """
    found = {column.lower(): column for column in columns}
    return next((found[name] for name in FORMULA_COLUMNS if name in found), None)


def is_formula(given: Any) -> bool:
    """Whether a cell holds a formula."""
    try:
        formula_of(given)
    except ValueError:
        return False
    return True


def formula_of(given: Any) -> Formula:
    """The formula in a cell.

    Raises:
        ValueError: When there is none; says why.
    """
    if isinstance(given, str | Composition):
        return as_formula(given)
    if given is None or given != given:  # NaN
        raise ValueError("the formula is missing")
    raise ValueError(f"a {type(given).__name__} is no formula: text or a pymatgen Composition is needed")


def formula_row(place: str, name: str, values: Mapping[str, Any], column: str, problem: str | None = None) -> Row:
    """The row of a formula, which stays among its values."""
    return Row(place, name, dict(values), partial(formula_of, values[column]), problem)


def lone_formula(text: str) -> Table | None:
    """The table of one formula, which is its name; ``None`` where the text is none."""
    if not is_formula(text):
        return None
    row = Row(text, text, {"formula": text}, partial(formula_of, text))
    return Table(text, ["formula"], in_order(lambda: iter([row])), has_structures=False)


def parquet_formulas(path: Path, others: Sequence[str]) -> Table | None:
    """Rows of a Parquet file with a column of formulas, read a batch at a time; ``None`` where it has none.

    Args:
        path: The file.
        others: Columns of structures: a file that has one of them is no table of formulas.

    Raises:
        UnreadableError: It is damaged.
    """
    try:
        columns = pq.read_schema(path).names
    except Exception as error:  # pyarrow fails on damaged files in many ways
        raise UnreadableError(f"{path} is not a whole Parquet file ({error}): copy or fetch it again") from error
    column = formula_column(columns)
    if column is None or not {*others}.isdisjoint(columns):
        return None
    return Table(str(path), columns, in_order(partial(_parquet_rows, path, column)), has_structures=False)


def _parquet_rows(path: Path, column: str) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            for batch in opened.iter_batches(_ROWS_AT_ONCE):
                for record in batch.to_pylist():
                    yield formula_row(f"{path}, row {number}", str(number), record, column)
                    number += 1
    except OSError as error:
        raise UnreadableError(f"{path} is damaged after row {number} ({error}): copy or fetch it again") from error
