"""A list of as many crystals as one likes, from the prepared sources: Parquet files with OPTIMADE columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moe_mat.files import data_folder

SOURCES = ("jarvis_dft_3d", "perovskites", "boltztrap_mp", "materials_project")
# Of the lattice, from one round through the sources to the next: another crystal, which no cache knows.
STRAIN = 1e-3
ROWS_OF_A_FILE = 10_000

_VECTORS = pa.list_(pa.list_(pa.float64()))
SCHEMA = pa.schema(
    {
        "material_id": pa.string(),
        "lattice_vectors": _VECTORS,
        "cartesian_site_positions": _VECTORS,
        "species_at_sites": pa.list_(pa.string()),
    }
)


def write_long_list(folder: Path, n: int) -> None:
    """Write ``n`` crystals: the sources, and all of them again, a little larger each time, where they are too few.

    The order is random, so that any part of the list is like any other.

    Args:
        folder: Where the files go; it must not be there.
        n: Number of crystals.
    """
    folder.mkdir()
    rounds, found = [], 0
    for table in _rounds():
        rounds.append(table.slice(0, n - found))
        found += len(rounds[-1])
        if found == n:
            break
    order = np.random.default_rng(0).permutation(n)
    table = pa.concat_tables(rounds).combine_chunks()
    for number, start in enumerate(range(0, n, ROWS_OF_A_FILE)):
        rows = table.take(order[start : start + ROWS_OF_A_FILE])
        pq.write_table(rows, folder / f"crystals-{number:03}.parquet", write_page_checksum=True)


def _rounds() -> Iterator[pa.Table]:
    for round_ in count():
        for source in SOURCES:
            path = data_folder() / "pretrain" / f"{source}.parquet"
            table = pq.read_table(path, columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
            scale = 1 + STRAIN * round_
            ids = pc.binary_join_element_wise(source, table["material_id"], str(round_), "-")
            vectors = (_scaled(table[name], scale) for name in SCHEMA.names[1:3])
            yield pa.table([ids, *vectors, table["species_at_sites"]], SCHEMA)


def _scaled(vectors: pa.ChunkedArray, scale: float) -> pa.Array:
    """Lists of vectors, all multiplied by a number."""
    lists = vectors.combine_chunks()
    inner = lists.values
    values = pc.multiply(inner.values, scale)
    return pa.ListArray.from_arrays(lists.offsets, pa.ListArray.from_arrays(inner.offsets, values))
