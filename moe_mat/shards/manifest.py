"""The manifest: written when all parts are there, and says what they are and what they were made of."""

from __future__ import annotations

import contextlib
import json
from importlib.metadata import version
from pathlib import Path

from moe_mat.files.provenance import commit
from moe_mat.files.whole import write_text
from moe_mat.shards.parts import finished_part, part_path
from moe_mat.shards.plan import MANIFEST, Plan


def write_manifest(folder: Path, plan: Plan) -> Path | None:
    """Write the manifest of a folder, and remove what killed workers have left there.

    Returns:
        The manifest; None where parts are missing.
    """
    records = []
    for number in range(plan.n_parts):
        if (record := finished_part(folder, plan, number)) is None:
            return None
        records.append(record)
    content = {
        "moe_mat": version("moe_mat"),
        "commit": commit(),
        "plan": plan.digest,
        "made_with": dict(plan.made_with),
        "inputs": {**plan.inputs.to_dict(), "digest": plan.inputs.digest},
        "rows": plan.ids.n_rows,
        "written": sum(record.written for record in records),
        "left_out": sum(len(record.left_out) for record in records),
        "parts": [
            {
                "file": part_path(folder, record.part).name,
                "rows": record.rows,
                "written": record.written,
                "left_out": len(record.left_out),
                "sha256": record.sha256,
            }
            for record in records
        ],
    }
    path = folder / MANIFEST
    write_text(path, json.dumps(content, indent=1))
    for unfinished in [*folder.glob("part-*.parquet.*.part"), *folder.glob("_part-*.json.*.part")]:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return path
