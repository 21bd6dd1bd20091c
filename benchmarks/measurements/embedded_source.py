"""A source of many crystals, embedded once and kept in parts: what is interrupted goes on with the next part."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from benchmarks.measurements.tools import say
from moe_mat import read_structures
from moe_mat.files import whole_file
from moe_mat.zoo import embed_parts, find_cards

PART = 1000


def embed_source(path: Path, target: str, experts: Sequence[str], folder: Path, *, n: int, workers: int = 1) -> None:
    """Embed the first rows of a shuffled source that have a target.

    Args:
        path: Parquet file with the OPTIMADE columns.
        target: Its column.
        experts: Tags of those that embed.
        folder: Of the parts, one file for each and expert; those that are there are not made again.
        n: Number of rows; those of a part that is begun are all embedded.
        workers: Processes.

    Raises:
        ValueError: When an expert refuses a crystal.
    """

    def file_of(name: str, number: int) -> Path:
        return folder / f"{name}-{number:04d}.npy"

    numbers = range(-(-n // PART))
    missing = [one for one in numbers if not all(file_of(name, one).exists() for name in (target, *experts))]
    if not missing:
        return
    table = pd.read_parquet(path)
    table = table[table[target].notna()]
    table = table.iloc[np.random.default_rng(0).permutation(len(table))[: len(numbers) * PART]].reset_index(drop=True)
    folder.mkdir(parents=True, exist_ok=True)

    def parts() -> Iterator[list[Structure]]:
        for number in missing:
            with whole_file(folder / "crystals.parquet") as file:
                table.iloc[number * PART : (number + 1) * PART].to_parquet(file)
            structures, read = read_structures(folder / "crystals.parquet", targets=[target])
            _save(file_of(target, number), read[target].to_numpy(dtype=np.float32))
            yield structures

    start = time.perf_counter()
    embedded = embed_parts(find_cards(experts), parts(), workers=workers)
    for done, (number, of_part) in enumerate(zip(missing, embedded, strict=True), start=1):
        if of_part.refused:
            raise ValueError(f"part {number} of {path}: {next(iter(of_part.refused.values()))}")
        for tag, values in of_part.values.items():
            _save(file_of(tag, number), values)
        say(f"part {number}: {done * PART / (time.perf_counter() - start):.0f} crystals/s so far")


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
