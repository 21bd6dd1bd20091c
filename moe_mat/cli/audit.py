"""The command ``moe-mat audit``: how much of a task or a file the experts have seen before."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from rich.console import Console

from moe_mat.audit.exposure import group
from moe_mat.audit.matching import match
from moe_mat.audit.quantities import find_quantity
from moe_mat.audit.report import AuditReport, Errors
from moe_mat.crystals.errors import OnError
from moe_mat.crystals.readers import read_structures
from moe_mat.files.folders import data_folder
from moe_mat.tasks import TaskCards, read_task
from moe_mat.zoo.cards import find_cards


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
    """

    title: str
    structures: Sequence[Structure]
    table: pd.DataFrame
    parts: Mapping[str, np.ndarray]
    target: str | None
    quantity: str | None

    @property
    def ids(self) -> list[str]:
        """Names of the crystals."""
        return self.table["material_id"].astype(str).tolist()


def audit(
    data: str,
    *,
    experts: str | list[str] = "default",
    target: str | None = None,
    quantity: str | None = None,
    sources: str | None = None,
    predictions: str | None = None,
    output: str | None = None,
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
) -> None:
    """Tell which crystals of a task or a file the experts were trained on, and what errors are without them.

    Args:
        data: A task of the benchmark, or crystals in any readable format.
        experts: A tag, pattern or folder of cards, or several as ``[a,b]``.
        target: Column of the file that is predicted.
        quantity: What the target measures, such as ``band_gap``; by default told by the target's name or the task.
        sources: Folder of the files that experts were trained on; by default pretrain in MOE_MAT_DATA.
        predictions: predictions.csv of a run, or what predict wrote (CSV or Parquet): errors without the crystals seen.
        output: File for a verdict on every row: JSON, which repeats the tables, or CSV.
        id_column: Column with the crystals' names.
        structure_column: Column with structures or their files.
        on_error: ``raise`` stops at the first crystal that cannot be used, ``skip`` leaves it out.

    Raises:
        ValueError: When the data, the quantity, the experts or the predictions cannot be used; says which and why.
    """
    if output is not None and Path(output).suffix not in (".json", ".csv"):
        raise ValueError(f"--output {output}: a .json or .csv file is written")
    cards = find_cards(experts)
    learned = [name for exposure in group(cards) for name in exposure.quantities]
    subject = _read_task(data, target) or _read_file(
        data, target, id_column=id_column, structure_column=structure_column, on_error=on_error
    )
    meant = quantity or subject.quantity or subject.target
    if meant is None:
        raise ValueError(f"what is predicted of {data}? Name its column by --target, or what it measures by --quantity")
    meant = find_quantity(meant, known=learned)
    parts, errors = subject.parts, None
    if predictions is not None:
        errors = read_errors(Path(predictions), subject)
        parts = {Path(predictions).name: np.flatnonzero(np.isfinite(errors.values))}
    folder = data_folder() / "pretrain" if sources is None else Path(sources)
    matches = match(subject.structures, cards, sources=folder, show_progress=sys.stderr.isatty())
    report = AuditReport(subject.title, meant, subject.ids, parts, matches.overlaps(meant), folder, errors)
    report.show()
    if output is not None:
        report.write(Path(output))
        Console().print(f"every crystal in [bold]{output}[/bold]")


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


def _read_file(path: str, target: str | None, **columns: Any) -> Subject:
    if not Path(path).exists():
        close = difflib.get_close_matches(path, TaskCards().names(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(f"there is no file and no task {path}{hint} (moe-mat data list shows the tasks)")
    structures, table = read_structures(path, targets=[] if target is None else [target], **columns)
    return Subject(path, structures, table, {"all rows": np.arange(len(table))}, target, None)


def read_errors(path: Path, subject: Subject) -> Errors:
    """Errors of the predictions in a file, of its test rows where it names parts.

    Raises:
        ValueError: When columns are missing, or crystals are not those of the subject; names them.
    """
    target = subject.target
    if target is None:
        raise ValueError(f"{path}: which of its columns? Name the target by --target")
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
    true = table[target].to_numpy(float) if predicted != target else subject.table[target].to_numpy(float)[rows]
    values = np.full(len(subject.ids), np.nan)
    values[rows] = np.abs(table[predicted].to_numpy(float) - true)
    return Errors(values)
