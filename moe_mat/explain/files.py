"""Explanations as files: JSON, a crystal after the other, or a table a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from moe_mat.explain.account import TABLES, Explanation
from moe_mat.files.whole import whole_file, write_text

ENDINGS = (".json", ".csv", ".parquet")


def files_of(path: Path) -> dict[str, Path]:
    """Table to the file that it goes to, where each has its own: that of the crystals has the name that was given.

    Raises:
        ValueError: When the ending is of no kind that is written.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file is written")
    if path.suffix == ".json":
        return {"crystals": path}
    return {name: path if name == "crystals" else path.with_stem(f"{path.stem}_{name}") for name in TABLES}


def write_explanation(told: Explanation, path: Path) -> list[Path]:
    """Write everything; returns the files.

    Args:
        told: Of any number of crystals.
        path: ``.json`` for one document that has crystals with all that is told of each, ``.csv`` or ``.parquet`` for
            a table a file: ``explained.csv``, ``explained_neighbours.csv``, and so on.

    Raises:
        ValueError: When the ending is another one.
    """
    files = files_of(path)
    if path.suffix == ".json":
        write_text(path, json.dumps(to_dict(told), indent=1, ensure_ascii=False, allow_nan=False))
        return [path]
    for name, file in files.items():
        table = told.tables[name]
        if path.suffix == ".csv":
            write_text(file, table.to_csv(index=False))
        else:
            with whole_file(file) as part:
                table.to_parquet(part, index=False)
    return list(files.values())


def to_dict(told: Explanation) -> dict[str, Any]:
    """Plain data: ``crystals``, each with its ``neighbours``, ``experts``, ``networks``, ``seen``; unknown is null."""
    parts = {name: _by_crystal(table) for name, table in told.tables.items() if name != "crystals"}
    crystals = [
        {**row, **{name: of_crystal.get(row["material_id"], []) for name, of_crystal in parts.items()}}
        for row in _records(told.crystals)
    ]
    return {"targets": list(told.targets), "level": told.level, "notes": list(told.notes), "crystals": crystals}


def _by_crystal(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _records(table):
        found.setdefault(row.pop("material_id"), []).append(row)
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {str(name): [_plain(value) for value in values.tolist()] for name, values in table.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return float(f"{value:.7g}") if isinstance(value, float) else value
