"""The file of a prepared task: crystals and targets as Parquet, and a note on where they come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from moe_mat.files import whole_file
from moe_mat.tasks.evidence import Evidence

METADATA_KEY = b"moe_mat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a prepared table comes from.

    Attributes:
        dataset: matminer data set.
        matminer: version of matminer.
        exact: whether the rows are those of the task's card.
        left_out: number of rows of the data set that are not in the table.
        evidence: what was written.
    """

    dataset: str
    matminer: str
    exact: bool
    left_out: int
    evidence: Evidence


def write_prepared(table: pd.DataFrame, path: Path, *, origin: Origin) -> None:
    """Write a table with structures as Parquet with OPTIMADE's structure columns, whole or not at all.

    Args:
        table: a column ``structure`` and any plain ones.
        path: the file.
        origin: where the table comes from; `read_origin` gives it back.
    """
    structures: Sequence[Structure] = list(table["structure"])
    columns = {name: pa.array(table[name].to_numpy()) for name in table.columns if name != "structure"}
    vectors = pa.list_(pa.list_(pa.float64()))
    columns["lattice_vectors"] = pa.array([s.lattice.matrix.tolist() for s in structures], vectors)
    columns["cartesian_site_positions"] = pa.array([s.cart_coords.tolist() for s in structures], vectors)
    columns["species_at_sites"] = pa.array(
        [[site.specie.symbol for site in s] for s in structures], pa.list_(pa.string())
    )
    content = pa.table(columns).replace_schema_metadata(
        {METADATA_KEY: json.dumps({"origin": "recipe", **asdict(origin)})}
    )
    with whole_file(path) as part:
        pq.write_table(content, part, write_page_checksum=True)


def read_origin(path: Path) -> Origin | None:
    """What `write_prepared` noted about a file; None for files that others made.

    Raises:
        ValueError: the note is not one.
    """
    noted = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    if noted is None:
        return None
    try:
        content = json.loads(noted)
        del content["origin"]
        return Origin(**{**content, "evidence": Evidence(**content["evidence"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: the note on where it comes from is damaged: {error!r}") from error


def prepared_path(folder: Path, name: str) -> Path:
    """The file of a task in a folder of prepared data."""
    return folder / "benchmark" / f"{name}.parquet"
