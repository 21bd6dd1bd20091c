"""The plan of a long list of crystals: which rows are which part. It is made once, and all workers go by it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moe_mat.crystals.errors import OnError
from moe_mat.crystals.ids import Repeated, ScannedIds, find_id_column, scan_ids
from moe_mat.crystals.readers import open_table, unknown_column
from moe_mat.shards.inputs import Inputs
from moe_mat.shards.work import Identity, Work
from moe_mat.zoo.embeddings import STREAM_CHUNK

# With a leading underscore, so that readers of a folder of Parquet files pass them by.
PLAN = "_plan.json"
MANIFEST = "_manifest.json"
# Of a part: some minutes of work, which is what a kill loses.
MOST_ROWS = 4096
ADVICE = "name another --output, or delete the folder to compute all of it anew"


@dataclass(frozen=True)
class Plan:
    """Which rows are which part, and what is made of them.

    Attributes:
        made_with: What the numbers depend on beside the crystals.
        inputs: What is read.
        id_column: Column of the ids; None where rows are called by their files or numbers.
        structure_column: Column of the structures, where one was named.
        rows_of_a_part: Of every part but the last one, which may have fewer.
        ids: Number of rows, and ids that occur twice.
    """

    made_with: Identity
    inputs: Inputs
    id_column: str | None
    structure_column: str | None
    rows_of_a_part: int
    ids: ScannedIds

    @property
    def n_parts(self) -> int:
        """Number of parts; one at least, which may be empty."""
        return max(1, math.ceil(self.ids.n_rows / self.rows_of_a_part))

    def rows(self, number: int) -> range:
        """The rows of a part, counted from 0 as parts are."""
        start = number * self.rows_of_a_part
        return range(start, min(start + self.rows_of_a_part, self.ids.n_rows))

    def share(self, shard: int, shards: int) -> range:
        """The parts of a shard, which is counted from 1."""
        return range(shard - 1, self.n_parts, shards)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of all that parts depend on; where the crystals lie does not count."""
        content = self.to_dict() | {"inputs": self.inputs.digest}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "made_with": dict(self.made_with),
            "inputs": self.inputs.to_dict(),
            "id_column": self.id_column,
            "structure_column": self.structure_column,
            "rows": self.ids.n_rows,
            "rows_of_a_part": self.rows_of_a_part,
            "repeated": {name: [one.kept, *one.later] for name, one in self.ids.repeated.items()},
        }

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a folder.

        Raises:
            ValueError: When it is damaged; names it.
        """
        path = folder / PLAN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            repeated = {name: Repeated(kept, tuple(later)) for name, (kept, *later) in content["repeated"].items()}
            return cls(
                content["made_with"],
                Inputs.of_dict(content["inputs"]),
                content["id_column"],
                content["structure_column"],
                content["rows_of_a_part"],
                ScannedIds(content["rows"], repeated),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error!r}): {ADVICE}") from error


def agreed_plan(
    folder: Path,
    source: Path,
    work: Work,
    *,
    shares: int,
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
) -> Plan:
    """The plan of a folder: the one that is there, or a new one, which is the plan of all others from then on.

    Several processes may ask at once, also on several machines that share the folder: all get the same.

    Args:
        folder: Where parts are written.
        source: Crystals in any readable format.
        work: What is made of them.
        shares: Into how many parts the rows are divided at least.
        id_column: As for `moe_mat.crystals.iter_crystals`.
        structure_column: As for `moe_mat.crystals.iter_crystals`.
        on_error: "raise" stops at an id that occurs twice, "skip" leaves out all crystals but the first.

    Raises:
        CrystalError: An id occurs twice; names it.
        ValueError: The folder has parts that were computed with other experts, another checkpoint or other crystals, or
            parts without a plan; names what differs.
    """
    path, identity = folder / PLAN, work.identity
    if not path.exists():
        _refuse_parts_without_plan(folder)
        table = open_table(source, structure_column=structure_column)
        if id_column is not None and id_column not in table.columns:
            raise ValueError(unknown_column(table, id_column))
        found = id_column or find_id_column(table)
        ids = scan_ids(table, found, on_error=on_error)
        size = _rows_of_a_part(ids.n_rows, shares)
        plan = Plan(identity, Inputs.of(source), found, structure_column, size, ids)
        _write_first(path, json.dumps(plan.to_dict()))
    plan = Plan.read(folder)
    differences = differing(plan.made_with, identity)
    if files := plan.inputs.difference(Inputs.of(source, known=plan.inputs)):
        differences.append(f"other crystals ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})")
    if id_column not in (None, plan.id_column):
        differences.append(f"another id_column ({plan.id_column})")
    if structure_column != plan.structure_column:
        differences.append(f"another structure_column ({plan.structure_column})")
    if differences:
        raise ValueError(f"{folder} is of a run with {' and '.join(differences)}: {ADVICE}")
    if on_error == "raise" and plan.ids.repeated:
        name = next(iter(plan.ids.repeated))
        raise ValueError(f"{source}: the id {name!r} occurs twice: remove one of the two, or take --on_error skip")
    return plan


def differing(noted: Identity, wanted: Identity) -> list[str]:
    """In what something was made otherwise than is wanted, in words."""
    if noted.get("command") != wanted["command"]:
        return [f"another command (moe-mat {noted.get('command')})"]
    theirs, mine = noted.get("experts", {}), wanted["experts"]
    found = []
    if list(theirs.items()) != list(mine.items()):
        tags = [tag for tag in {**theirs, **mine} if theirs.get(tag) != mine.get(tag)]
        found.append(f"other experts ({', '.join(tags) or 'in another order'})")
    if noted.get("checkpoint") != wanted.get("checkpoint"):
        found.append("another checkpoint")
    if noted.get("level") != wanted.get("level"):
        found.append(f"another level ({noted.get('level')})")
    return found


def _refuse_parts_without_plan(folder: Path) -> None:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    found = [name for name in names if name == MANIFEST or re.fullmatch(r"part-\d+\.parquet", name)]
    if found and PLAN not in names:  # which another machine may just have written
        raise ValueError(f"{folder / found[-1]} is of a run whose {PLAN} is missing: {ADVICE}")


def _rows_of_a_part(n_rows: int, shares: int) -> int:
    """Equal parts, as many as a multiple of the shares; those that are long end with a chunk of the stream."""
    parts = shares * max(1, math.ceil(n_rows / (MOST_ROWS * shares)))
    size = max(1, math.ceil(n_rows / parts))
    return size if size < STREAM_CHUNK else math.ceil(size / STREAM_CHUNK) * STREAM_CHUNK


def _write_first(path: Path, text: str) -> None:
    """Write a file, whole, unless there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # fails where the file is there, also over a network
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                part.replace(path)
    finally:
        part.unlink(missing_ok=True)
