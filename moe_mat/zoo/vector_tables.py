"""Tables of vectors that were computed elsewhere: Parquet or CSV, a row a crystal, read a batch at a time."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from moe_mat.crystals.ids import ID_COLUMNS, as_id
from moe_mat.crystals.tables import UnreadableError

SUFFIXES = (".parquet", ".pq", ".csv")
_ROWS_AT_ONCE = 4096


def is_vector_table(path: Path) -> bool:
    """Whether a file has the name of a table."""
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A table with a vector in each row: a column of lists, or several columns of numbers, from left to right.

    Attributes:
        path: The file.
        id_column: Names of the crystals.
        vector_columns: One of lists, or those of numbers.
        width: Length of the vectors.
        dtype: float16 where the file has that, else float32.
    """

    path: Path
    id_column: str
    vector_columns: tuple[str, ...]
    width: int
    dtype: np.dtype

    @classmethod
    def open(cls, path: Path, *, id_column: str | None = None, vector_column: str | None = None) -> VectorTable:
        """Find the columns of a table.

        Args:
            path: Parquet or CSV file.
            id_column: The column of names; where None, one of the usual ones.
            vector_column: A column of lists, or a pattern such as ``v_*`` for columns of numbers; where None, the only
                column of lists of numbers.

        Raises:
            FileNotFoundError: No such file.
            ValueError: When it cannot be read or has no such columns; names those it has.
        """
        schema = _schema(path)
        ids = _id_column(path, schema, id_column)
        columns = _vector_columns(path, schema, vector_column, ids)
        kind = schema.field(columns[0]).type
        if not _is_list(kind):
            return cls(path, ids, columns, len(columns), np.dtype(np.float32))
        dtype = np.dtype(np.float16 if pa.types.is_float16(kind.value_type) else np.float32)
        return cls(path, ids, columns, _first_length(path, columns[0]), dtype)

    def ids(self) -> Iterator[str | None]:
        """Names of the crystals, row after row; ``None`` where there is none."""
        for batch in _batches(self.path, [self.id_column], pa.string()):
            yield from map(as_id, batch.column(0).to_pylist())

    def vectors(self) -> Iterator[tuple[NDArray[np.floating], dict[int, str]]]:
        """Vectors ``[n, width]``, some rows at a time, and which of these cannot be used, with the reason."""
        for batch in _batches(self.path, list(self.vector_columns), pa.float64()):
            values, problems = np.full((len(batch), self.width), np.nan, dtype=self.dtype), {}
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is named
                if _is_list(batch.schema.types[0]):
                    lengths = pa.compute.list_value_length(batch.column(0)).fill_null(-1).to_numpy()
                    whole = lengths == self.width
                    values[whole] = _numbers(batch.column(0).filter(pa.array(whole)).flatten()).reshape(-1, self.width)
                    problems = {int(row): self._length_problem(lengths[row]) for row in np.flatnonzero(~whole)}
                else:
                    for number, name in enumerate(self.vector_columns):
                        values[:, number] = _numbers(batch.column(name))
            finite = np.isfinite(values)
            for row in np.flatnonzero(~finite.all(axis=1)):
                reason = f"number {finite[row].argmin()} of its vector is missing, or is not finite as {self.dtype}"
                problems.setdefault(int(row), reason)
            yield values, problems

    def _length_problem(self, length: int) -> str:
        if length < 0:
            return "its vector is missing"
        return f"its vector has {length} numbers, and the first of the table {self.width}"


def _numbers(column: pa.Array) -> NDArray[Any]:
    """A column of numbers, NaN where there is none."""
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float64) if values.dtype == object else values


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _schema(path: Path) -> pa.Schema:
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}")
    try:
        schema = pyarrow.csv.open_csv(path).schema if _is_csv(path) else pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(f"{path} is not a whole {'CSV' if _is_csv(path) else 'Parquet'} file: {error}") from error
    if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise UnreadableError(f"{path} names a column twice: {', '.join(repeated)}")
    return schema


def _batches(path: Path, columns: list[str], kind: pa.DataType) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, those of a CSV as what they are meant to be."""
    try:
        if _is_csv(path):
            options = pyarrow.csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, kind))
            yield from pyarrow.csv.open_csv(path, convert_options=options)
        else:
            # With buffers ahead, all of the file would be kept.
            with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
                yield from file.iter_batches(_ROWS_AT_ONCE, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{path} is damaged, or holds something else than numbers: {error}") from error


def _first_length(path: Path, column: str) -> int:
    for batch in _batches(path, [column], pa.float64()):
        for vector in batch.column(0):
            if vector.is_valid and len(vector):
                return len(vector)
    raise ValueError(f"{path}: column {column!r} holds no vector")


def _id_column(path: Path, schema: pa.Schema, asked: str | None) -> str:
    if asked is None:
        for name in ID_COLUMNS:
            if name in schema.names:
                return name
        raise ValueError(f"which column of {path} names the crystals? Give --id-column; there are {_listed(schema)}")
    if asked not in schema.names:
        raise ValueError(_no_column(path, schema, asked))
    return asked


def _vector_columns(path: Path, schema: pa.Schema, asked: str | None, ids: str) -> tuple[str, ...]:
    lists = [one.name for one in schema if _is_list(one.type) and _is_number(one.type.value_type)]
    if asked is None:
        if len(lists) == 1:
            return (lists[0],)
        raise ValueError(
            f"which column of {path} holds the vectors? Give --vector-column, of lists or a pattern such as 'v_*' for "
            f"columns of numbers; there are {_listed(schema)}"
        )
    found = [asked] if asked in schema.names else fnmatch.filter(schema.names, asked)
    if found == [ids]:
        raise ValueError(f"{path}: column {ids!r} names the crystals: name the column with the vectors")
    found = [name for name in found if name != ids]
    if not found:
        raise ValueError(_no_column(path, schema, asked))
    if all(_is_number(schema.field(name).type) for name in found) or (len(found) == 1 and found[0] in lists):
        return tuple(found)
    raise ValueError(_strange(path, schema, found))


def _strange(path: Path, schema: pa.Schema, found: Sequence[str]) -> str:
    """Why some columns are no vectors."""
    wrong = next((name for name in found if not _is_number(schema.field(name).type)), found[0])
    kind = schema.field(wrong).type
    if _is_list(kind) and _is_list(kind.value_type):
        return f"{path}: column {wrong!r} holds lists of lists: pool what describes atoms into one vector a crystal"
    if _is_list(kind) and _is_number(kind.value_type):
        return f"{path}: of the columns {', '.join(found)}, {wrong!r} holds whole vectors: name one of them"
    return (
        f"{path}: column {wrong!r} holds no numbers, but {kind}: write a Parquet file with a column of lists, or one "
        "column for each number"
    )


def _no_column(path: Path, schema: pa.Schema, asked: str) -> str:
    close = difflib.get_close_matches(asked, schema.names)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{path} has no column {asked!r}: {guess}There are {_listed(schema)}"


def _listed(schema: pa.Schema, most: int = 20) -> str:
    names = schema.names
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
