"""What ``moe-mat audit`` audits: a task of the benchmark or a file of crystals, and predictions for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from moe_mat.audit import Errors
from moe_mat.cli.options import CrystalOptions
from moe_mat.crystals import LeftOut, read_structures
from moe_mat.tasks import TaskCards, read_task


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is audited.

    Attributes:
        title: Of the task or file.
        structures: n crystals.
        table: A row a crystal, with ``material_id`` and what else the file has.
        parts: Name of a part to its row numbers.
        target: Column to be predicted, if there is one.
        quantity: What it measures, if that is known.
        left_out: Crystals of the file that cannot be used.
    """

    title: str
    structures: Sequence[Structure]
    table: pd.DataFrame
    parts: Mapping[str, np.ndarray]
    target: str | None
    quantity: str | None
    left_out: Sequence[LeftOut] = ()

    @property
    def ids(self) -> list[str]:
        """Names of the crystals."""
        return self.table["material_id"].astype(str).tolist()


def read_subject(data: str, target: str | None, reading: CrystalOptions) -> Subject:
    """A task of the benchmark, or a file of crystals.

    Args:
        data: Name of a task, or a path.
        target: Column to be predicted, if that is known.
        reading: How the crystals of a file are read.

    Raises:
        ValueError: When there is neither, or it cannot be used; says why.
    """
    return _read_task(data, target) or _read_file(data, target, reading)


def _read_task(name: str, target: str | None) -> Subject | None:
    """A task of the benchmark with the test rows of its splits; None where there is no such task."""
    cards = TaskCards()
    if name not in cards.names():
        return None
    task = read_task(cards.load(name))
    if target not in (None, name):
        raise ValueError(f"task {name} has its own target: leave out --target {target}")
    parts = {f"split {number}": split.test for number, split in enumerate(task.splits)}
    title = f"{name} ({task.card.title}), {task.splits_origin} splits"
    return Subject(title, task.structures, task.table, parts, name, task.card.quantity)


def _read_file(path: str, target: str | None, reading: CrystalOptions) -> Subject:
    if not Path(path).exists():
        close = difflib.get_close_matches(path, TaskCards().names(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(f"there is no file and no task {path}{hint} (moe-mat data list shows the tasks)")
    targets = [] if target is None else [target]
    structures, table = read_structures(path, targets=targets, kind="auto", **asdict(reading))
    left_out = [LeftOut(**problem) for problem in table.attrs["left_out"]]
    return Subject(path, structures, table, {"all rows": np.arange(len(table))}, target, None, left_out)


def read_errors(path: Path, subject: Subject) -> Errors:
    """Errors of the predictions in a file, of its test rows where it names parts.

    Raises:
        ValueError: When columns are missing, or crystals are not those of the subject; names them.
    """
    target = subject.target
    if target is None:
        raise ValueError(f"{path}: which of its columns? Name the target by --target")
    if not pd.api.types.is_numeric_dtype(subject.table[target]):
        raise ValueError(f"{path}: {target} is a class, and predictions of classes are not audited: leave them out")
    is_parquet = path.suffix in (".parquet", ".pq")
    table = pd.read_parquet(path) if is_parquet else pd.read_csv(path, dtype={"material_id": str})
    predicted = f"{target}_predicted" if f"{target}_predicted" in table else target
    if "material_id" not in table or predicted not in table:
        raise ValueError(
            f"{path} needs material_id and {target}_predicted (or {target}); its columns are {', '.join(table.columns)}"
        )
    if "part" in table:
        table = table[table["part"] == "test"]
    names = pd.Index(table["material_id"].astype(str))
    rows = pd.Index(subject.ids).get_indexer(names)
    if not len(table) or (rows < 0).any() or not names.is_unique:
        strange = ", ".join(names[(rows < 0) | names.duplicated()][:3])
        reason = f"crystals that {subject.title} does not have, or has twice: {strange}" if strange else "no test rows"
        raise ValueError(f"{path} holds {reason}; audit the data that were predicted")
    # What predict writes has no true values: they are those of the data.
    given = predicted != target and target in table
    true = table[target].to_numpy(float) if given else subject.table[target].to_numpy(float)[rows]
    values = np.full(len(subject.ids), np.nan)
    values[rows] = np.abs(table[predicted].to_numpy(float) - true)
    return Errors(values)
