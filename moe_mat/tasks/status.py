"""What a folder of prepared data holds of a task, without reading its crystals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from moe_mat.tasks.cards import TaskCard
from moe_mat.tasks.evidence import Evidence
from moe_mat.tasks.prepared import prepared_path, read_origin
from moe_mat.tasks.splits import find_splits


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What is known of a task's data.

    Attributes:
        path: where its prepared file is, or would be.
        rows: what the file holds, beside what the card says: ``as on the card``, a contradiction, or ``not prepared``.
        origin: who made the file: a recipe of matminer's data set, or ``given``.
        splits: where they come from, as `moe_mat.tasks.Task` says it; empty where the file cannot be used.
    """

    path: Path
    rows: str
    origin: str
    splits: str


def describe_task(card: TaskCard, folder: Path) -> TaskStatus:
    """What a folder of prepared data holds of a task; only the target column is read."""
    path = prepared_path(folder, card.name)
    if not path.is_file():
        return TaskStatus(path, "not prepared", "", "")
    try:
        found = Evidence.of(pq.read_table(path, columns=[card.name])[card.name].to_numpy())
        noted = read_origin(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        return TaskStatus(path, f"damaged: {error}", "", "")
    contradiction = card.evidence.contradiction(found)
    origin = "given" if noted is None else f"{noted.dataset} of matminer {noted.matminer}"
    return TaskStatus(path, contradiction or "as on the card", origin, _splits(card, folder, contradiction))


def _splits(card: TaskCard, folder: Path, contradiction: str | None) -> str:
    path, origin = find_splits(card, folder, same_rows=contradiction is None)
    try:
        if path.is_file():
            json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"damaged: {error}"
    return origin
