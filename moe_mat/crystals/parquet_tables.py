"""Tables of crystals in Parquet with the OPTIMADE columns, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.structures import structure_from_arrays
from moe_mat.crystals.tables import Row, Table, UnreadableError

OPTIMADE_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
_ROWS_AT_ONCE = 512


def parquet_table(path: Path) -> Table:
    """Rows of a Parquet file with the OPTIMADE columns, read a batch at a time.

    Where the file carries checksums of its pages, as those written here do, they are checked.
    """
    try:
        columns = pq.read_schema(path).names
    except Exception as error:  # pyarrow fails on damaged files in many ways
        raise UnreadableError(f"{path} is not a whole Parquet file ({error}): copy or fetch it again") from error
    if missing := [name for name in OPTIMADE_COLUMNS if name not in columns]:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}: crystals are read from the OPTIMADE columns "
            f"{', '.join(OPTIMADE_COLUMNS)}; the file has {', '.join(columns)}"
        )
    if len(set(columns)) < len(columns):
        raise UnreadableError(f"{path} names a column twice: {', '.join(columns)}")
    others = [name for name in columns if name not in OPTIMADE_COLUMNS]
    return Table(str(path), others, lambda: _rows(path, others))


def _rows(path: Path, others: list[str]) -> Iterator[Row]:
    number = 0
    try:
        # With buffers ahead, all of the file would be kept.
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                lattices, positions, species = (batch.column(name) for name in OPTIMADE_COLUMNS)
                crystals = zip(_vectors(lattices), _vectors(positions), species.to_pylist(), strict=True)
                records = batch.select(others).to_pylist() if others else [{} for _ in range(len(batch))]
                for record, crystal in zip(records, crystals, strict=True):
                    yield Row(f"{path}, row {number}", str(number), record, partial(_structure, *crystal))
                    number += 1
            if number != file.metadata.num_rows:  # headers of pages have no checksum
                raise ValueError(f"the file gives {file.metadata.num_rows} rows, and has {number}")
    except Exception as error:  # pyarrow fails on damaged files in many ways
        raise UnreadableError(f"{path} is damaged after row {number} ({error}): copy or fetch it again") from error


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


def _structure(lattice: Any, positions: Any, species: Any) -> Structure:
    for name, value in zip(OPTIMADE_COLUMNS, (lattice, positions, species), strict=True):
        if value is None:
            raise ValueError(f"{name} is missing")
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise ValueError(f"{name} is {str(value)[:40]!r} and no list")
    if not all(isinstance(symbol, str) for symbol in species):
        site = next(site for site, symbol in enumerate(species) if not isinstance(symbol, str))
        gap = "a gap" if species[site] is None else f"{str(species[site])[:40]!r}, which is no symbol,"
        raise ValueError(f"species_at_sites has {gap} at site {site}")
    return structure_from_arrays(lattice, species, positions)
