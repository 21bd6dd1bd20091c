"""What a command leaves in its folder, as values that can be compared: times and places are left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import yaml
from toy_benchmark import PASSING

from benchmarks.cells.results import AUDITS

Contents = Mapping[str, Any]

# What two runs of one command may differ in.
TIMES = {"seconds", "commit"}
# A result notes when the cache could not be written.
OF_RESULTS = {*PASSING, "warnings"}


class Broken:
    """A file that cannot be read: it equals nothing."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"unreadable ({type(self.reason).__name__}: {self.reason})"


def read(path: Path, folder: Path) -> Any:
    """The content of a file, without times and without the name of the folder."""
    try:
        return READERS.get(path.suffix, lambda one, _: one.read_bytes())(path, folder)
    except Exception as error:  # a damaged file fails in any way
        return Broken(error)


def same(one: Any, other: Any, *, tolerance: float = 0.0) -> bool:
    """Whether two contents are the same.

    Args:
        one: A content.
        other: Another.
        tolerance: By how much numbers may differ, relative to the larger or to 1; pictures and the like may then too.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[n], other[n], tolerance=tolerance) for n in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair, tolerance=tolerance) for pair in zip(one, other, strict=True))
    if one == other or (one != one and other != other):
        return True
    if isinstance(one, bytes) and isinstance(other, bytes):
        return tolerance > 0
    try:
        numbers = float(one), float(other)
    except (TypeError, ValueError):
        return False
    return abs(numbers[0] - numbers[1]) <= tolerance * max(*map(abs, numbers), 1)


def predictions(folder: Path) -> Contents:
    """What ``predict`` leaves."""
    return _files(folder, "predictions.csv")


def embeddings(folder: Path) -> Contents:
    """What ``embed`` leaves."""
    return _files(folder, "embeddings.parquet")


def composition(folder: Path) -> Contents:
    """What ``compose`` leaves."""
    return _files(folder, "composed/*.yaml", "composed/merged/*")


def experts(folder: Path) -> Contents:
    """What ``pretrain`` leaves, its checkpoints apart."""
    return _files(folder, "experts/*")


def results(folder: Path) -> Contents:
    """What a sweep leaves: finished results."""
    found = _files(folder, "results/*/*.json")
    return {n: c for n, c in found.items() if f"/{AUDITS}/" not in n and not _failed(c)}


def run_folders(folder: Path) -> list[Contents]:
    """What each ``fit`` leaves in its own folder, the first first."""
    names = ("metrics.json", "predictions.csv", "gate_weights.csv", "left_out.csv", "*.png")
    versions = sorted((folder / "runs").glob("*/version_*"), key=lambda one: int(one.name.rpartition("_")[2]))
    return [_files(version, *names) | _trained(version) for version in versions]


def _trained(version: Path) -> Contents:
    """The tensors of a fit that has told its errors, and so has ended."""
    path = version / "checkpoints" / "best.ckpt"
    return {"best.ckpt": read(path, version)} if (version / "metrics.json").exists() else {}


def _tensors(checkpoint: Path) -> Contents:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    return {name: [list(value.shape), *value.flatten().tolist()] for name, value in state.items()}


def _table(path: Path, _: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _files(folder: Path, *patterns: str) -> dict[str, Any]:
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.suffix != ".part")
    return {str(path.relative_to(folder)): read(path, folder) for path in paths}


def _failed(content: Any) -> bool:
    return isinstance(content, dict) and content["status"] == "failed"


def _yaml(path: Path, folder: Path) -> Any:
    content = yaml.safe_load(path.read_text(encoding="utf-8").replace(str(folder), "."))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds {content!r}")
    return _without_times(content)


def _json(path: Path, folder: Path) -> Any:
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in content.items() if name not in OF_RESULTS}


def _without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_times(value) for name, value in content.items() if name not in TIMES}
    return [_without_times(value) for value in content] if isinstance(content, list) else content


READERS: dict[str, Callable[[Path, Path], Any]] = {
    ".yaml": _yaml,
    ".json": _json,
    ".csv": _table,
    ".ckpt": lambda path, _: _tensors(path),
    ".parquet": lambda path, _: pq.read_table(path).to_pydict(),
}
