"""Tables of crystals in Parquet with the OPTIMADE columns: one file or many, read a batch at a time from any row on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from moe_mat.crystals.formulas import as_formula
from moe_mat.crystals.optimade import OPTIMADE_COLUMNS, check_lists, check_symbols, structure_from_columns
from moe_mat.crystals.tables import Row, Table, UnreadableError, Wanted

_ROWS_AT_ONCE = 512
# Where no structure is wanted, rows are small.
_IDS_AT_ONCE = 2**14
_SUFFIXES = (".parquet", ".pq")


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet by its name."""
    return path.suffix.lower() in _SUFFIXES


def parquet_table(source: Path, files: Sequence[Path]) -> Table:
    """Rows of Parquet files with the OPTIMADE columns, read a batch at a time.

    Where a file carries checksums of its pages, as those written here do, they are checked.

    Args:
        source: The file or folder, for messages.
        files: Read one after the other, as one table: all have the same columns.

    Raises:
        UnreadableError: A file is damaged, or names a column twice.
        ValueError: A file lacks the columns of crystals, or those of the first file.
    """
    opened = [_File.of(path) for path in files]
    for one in opened[1:]:
        if missing := {*opened[0].others} ^ {*one.others}:
            raise ValueError(
                f"{one.path} and {opened[0].path} do not both have the columns {', '.join(sorted(missing))}: "
                "the files of one table have the same"
            )
    return Table(str(source), opened[0].others, lambda wanted: _rows(opened, wanted))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    others: list[str]
    n_rows: int

    @classmethod
    def of(cls, path: Path) -> _File:
        try:
            metadata = pq.read_metadata(path)
            columns = metadata.schema.to_arrow_schema().names
        except Exception as error:  # pyarrow fails on damaged files in many ways
            raise UnreadableError(f"{path} is not a whole Parquet file ({error}): copy or fetch it again") from error
        if missing := [name for name in OPTIMADE_COLUMNS if name not in columns]:
            raise ValueError(
                f"{path} lacks {', '.join(missing)}: crystals are read from the OPTIMADE columns "
                f"{', '.join(OPTIMADE_COLUMNS)}; the file has {', '.join(columns)}"
            )
        if len(set(columns)) < len(columns):
            raise UnreadableError(f"{path} names a column twice: {', '.join(columns)}")
        return cls(path, [name for name in columns if name not in OPTIMADE_COLUMNS], metadata.num_rows)


def _rows(files: Sequence[_File], wanted: Wanted) -> Iterator[Row]:
    """Wanted rows; where there is no column of ids, a row is called by its number among all files."""
    before = 0
    for file in files:
        start = max(wanted.start - before, 0)
        stop = file.n_rows if wanted.stop is None else min(wanted.stop - before, file.n_rows)
        if start < stop:
            yield from _rows_of(file, start, stop, before, wanted)
        before += file.n_rows


def _rows_of(file: _File, start: int, stop: int, before: int, wanted: Wanted) -> Iterator[Row]:
    """Rows of a file; batches before the first of them are decoded and no more."""
    others = [name for name in file.others if wanted.columns is None or name in wanted.columns]
    structures = OPTIMADE_COLUMNS if wanted.structures else () if others else OPTIMADE_COLUMNS[:1]
    if wanted.formulas:
        structures = OPTIMADE_COLUMNS[2:]
    number = start
    try:
        # With buffers ahead, all of the file would be kept.
        with pq.ParquetFile(file.path, page_checksum_verification=True, pre_buffer=False) as opened:
            first, groups = _groups(opened.metadata, start, stop)
            size = _ROWS_AT_ONCE if wanted.structures else _IDS_AT_ONCE
            for whole in opened.iter_batches(size, row_groups=groups, columns=[*structures, *others]):
                batch = whole.slice(max(start - first, 0), max(stop - max(start, first), 0))
                first += len(whole)
                if not len(batch):
                    continue
                records = batch.select(others).to_pylist() if others else [{} for _ in range(len(batch))]
                for record, crystal in zip(records, _crystals(batch, wanted), strict=True):
                    name, place = str(before + number), f"{file.path}, row {number}"
                    load = partial(_formula if wanted.formulas else structure_from_columns, *crystal)
                    yield Row(place, name, record, load)
                    number += 1
            if number != stop:  # headers of pages have no checksum
                raise ValueError(f"the file gives {file.n_rows} rows, and has {number}")
    except Exception as error:  # pyarrow fails on damaged files in many ways
        raise UnreadableError(f"{file.path} is damaged after row {number} ({error}): copy or fetch it again") from error


def _groups(metadata: Any, start: int, stop: int) -> tuple[int, list[int]]:
    """The first row of the row groups that hold some rows, and these groups."""
    before, first, groups = 0, 0, list[int]()
    for group in range(metadata.num_row_groups):
        after = before + metadata.row_group(group).num_rows
        if before < stop and start < after:
            first = first if groups else before
            groups.append(group)
        before = after
    return first, groups


def _crystals(batch: pa.RecordBatch, wanted: Wanted) -> Iterator[tuple[Any, ...]]:
    if not wanted.structures:
        return iter([(None, None, None)] * len(batch))
    if wanted.formulas:
        return zip(batch.column(OPTIMADE_COLUMNS[2]).to_pylist(), strict=True)
    lattices, positions, species = (batch.column(name) for name in OPTIMADE_COLUMNS)
    return zip(_vectors(lattices), _vectors(positions), species.to_pylist(), strict=True)


def _vectors(column: pa.Array) -> list[Any]:
    """Each row's list of 3-vectors as an [n, 3] array; as it stands where one of them is not that regular."""
    if not _is_list(column.type) or not _is_list(column.type.value_type):
        return column.to_pylist()
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


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _formula(species: Any) -> Structure:
    check_lists([(OPTIMADE_COLUMNS[2], species)])
    check_symbols(species)
    return as_formula(Composition(Counter(species)))
