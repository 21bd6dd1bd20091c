"""A part: its rows as Parquet, and beside them a record of what they were made of and what was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moe_mat.crystals.errors import LeftOut
from moe_mat.files.whole import write_text
from moe_mat.shards.plan import ADVICE, Plan, differing
from moe_mat.shards.work import Identity


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """What all tables of embeddings and predictions are written by: with checksums, and no dictionaries of floats."""
    return pq.ParquetWriter(path, schema, write_page_checksum=True, use_dictionary=["material_id"])


def part_path(folder: Path, number: int) -> Path:
    """The Parquet file of a part."""
    return folder / f"part-{number:05}.parquet"


def record_path(folder: Path, number: int) -> Path:
    """The record of a part."""
    return folder / f"_part-{number:05}.json"


@dataclass(frozen=True)
class PartRecord:
    """What is known of a part that is there.

    Attributes:
        part: Its number.
        rows: Where its rows begin and end in what was read.
        written: Crystals in it.
        left_out: Those that could not be used.
        size: Of its file, in bytes.
        sha256: Of its file.
        plan: Digest of the plan.
        made_with: What the numbers depend on beside the crystals.
    """

    part: int
    rows: tuple[int, int]
    written: int
    left_out: tuple[LeftOut, ...]
    size: int
    sha256: str
    plan: str
    made_with: Identity

    def write(self, folder: Path) -> None:
        """Write it; from then on, the part is finished."""
        write_text(record_path(folder, self.part), json.dumps(asdict(self), indent=1))

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> PartRecord:
        """From JSON."""
        left_out = tuple(LeftOut(**one) for one in content["left_out"])
        return cls(**{**content, "rows": tuple(content["rows"]), "left_out": left_out})


def finished_part(folder: Path, plan: Plan, number: int) -> PartRecord | None:
    """The record of a part that is finished; None where it is not there, or not whole.

    Raises:
        ValueError: When it is of another plan; names part and difference.
    """
    try:
        record = PartRecord.of_dict(json.loads(record_path(folder, number).read_text(encoding="utf-8")))
        size = part_path(folder, number).stat().st_size
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):  # it is made anew
        return None
    if record.plan != plan.digest:
        differences = " and ".join(differing(record.made_with, plan.made_with)) or "other crystals"
        raise ValueError(f"{part_path(folder, number)} was computed with {differences}: {ADVICE}")
    return record if size == record.size else None
