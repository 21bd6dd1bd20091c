"""A source of many crystals, embedded once and kept in parts: what is interrupted goes on with the next part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measurements.tools import say, timed
from moe_mat import load_expert, read_structures
from moe_mat.files import whole_file

PART = 1000


def embed_source(path: Path, target: str, experts: Sequence[str], folder: Path, *, n: int) -> None:
    """Embed the first rows of a shuffled source that have a target.

    Args:
        path: Parquet file with the OPTIMADE columns.
        target: Its column.
        experts: Tags of those that embed.
        folder: Of the parts, one file for each and expert; those that are there are not made again.
        n: Number of rows; those of a part that is begun are all embedded.
    """
    n_parts = -(-n // PART)
    if all((folder / f"{tag}-{number:04d}.npy").exists() for tag in experts for number in range(n_parts)):
        return
    table = pd.read_parquet(path)
    table = table[table[target].notna()]
    table = table.iloc[np.random.default_rng(0).permutation(len(table))[: n_parts * PART]].reset_index(drop=True)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = {tag: load_expert(tag) for tag in experts}
    for number, start in enumerate(range(0, len(table), PART)):
        files = {tag: folder / f"{tag}-{number:04d}.npy" for tag in experts}
        if all(file.exists() for file in files.values()):
            continue
        with whole_file(folder / "crystals.parquet") as file:
            table.iloc[start : start + PART].to_parquet(file)
        structures, read = read_structures(folder / "crystals.parquet", targets=[target])
        _save(folder / f"{target}-{number:04d}.npy", read[target].to_numpy(dtype=np.float32))
        for tag, file in files.items():
            if not file.exists():
                seconds, values = timed(loaded[tag].embed, structures)
                _save(file, values)
                say(f"{file.name}: {len(values) / seconds:.0f} crystals/s")


def read_embedded(folder: Path, name: str, *, n: int) -> np.ndarray:
    """Embeddings by an expert ``[n, dim]``, or the target of this name ``[n]``, of the first rows.

    Raises:
        ValueError: fewer are embedded.
    """
    files = sorted(folder.glob(f"{name}-*.npy"))[: -(-n // PART)]
    values = np.concatenate([np.load(file) for file in files])[:n] if files else np.zeros(0)
    if len(values) < n:
        raise ValueError(f"{folder} holds {len(values)} rows of {name}, and {n} are asked for: embed them first")
    return values


def _save(path: Path, values: np.ndarray) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        np.save(file, values)
