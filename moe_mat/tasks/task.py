"""A task with its data: prepared crystals, targets and splits, checked against its card.

A card's recipe was worked out from the published rows. Whether it still fits matminer's data shows when it is run:
`moe_mat.tasks.build_task` refuses rows that contradict the card, and so does `read_task` with a prepared file.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from moe_mat.crystals import Split, read_structures
from moe_mat.files import DATA_VARIABLE, data_folder
from moe_mat.tasks.cards import TaskCard
from moe_mat.tasks.evidence import Evidence
from moe_mat.tasks.prepared import prepared_path, read_origin
from moe_mat.tasks.splits import TaskDataError, find_splits, read_splits, splits_digest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A task with its data.

    Attributes:
        card: what it is.
        structures: n crystals.
        target: [n], after the recipe's transform.
        table: one row a crystal: material_id, row, the target and what else the file has.
        splits: five splits; their numbers count the rows of `table`.
        splits_origin: "published", or how they were made.
        splits_sha256: digest of the row numbers of all splits.
        fidelity: where rows and splits come from, for reports.
        path: the prepared file.
    """

    card: TaskCard
    structures: list[Structure]
    target: np.ndarray
    table: pd.DataFrame
    splits: tuple[Split, ...]
    splits_origin: str
    splits_sha256: str
    fidelity: str
    path: Path


def read_task(card: TaskCard, folder: Path | None = None) -> Task:
    """A task's crystals, targets and splits.

    Args:
        card: of the task.
        folder: with ``benchmark/<task>.parquet`` and, for published splits, ``splits/<task>.json``; by default
            ``MOE_MAT_DATA``.

    Raises:
        TaskDataError: a file is missing, cannot be read, or contradicts the card.
    """
    name = card.name
    folder = data_folder() if folder is None else Path(folder)
    path = prepared_path(folder, name)
    if not path.is_file():
        raise TaskDataError(
            f"Task {name}: there is no {path}. Point {DATA_VARIABLE} to the folder of prepared data, or build it with "
            f"`moe-mat data prepare`."
        )
    try:
        origin = read_origin(path)
        structures, table = read_structures(path, targets=[name])
    except (ValueError, OSError) as error:
        raise TaskDataError(f"Task {name}: {path} cannot be used: {error}") from error
    found = Evidence.of(table[name])
    fidelity, contradiction = card.fidelity, card.evidence.contradiction(found)
    if contradiction:
        if origin is None or origin.exact or card.recipe.exact:
            raise TaskDataError(f"Task {name}: {path} has {contradiction} ({card.path})")
        if origin.evidence != found:
            raise TaskDataError(f"Task {name}: {path} is not what was written to it: prepare it again")
        fidelity = f"built from {origin.dataset}: {contradiction}; do not compare with published numbers"
        logger.warning("Task %s is %s", name, fidelity)
    splits_path, splits_origin = find_splits(card, folder, same_rows=not contradiction)
    splits = read_splits(splits_path, splits_origin, table)
    return Task(
        card=card,
        structures=structures,
        target=table[name].to_numpy(dtype=float),
        table=table,
        splits=splits,
        splits_origin=splits_origin,
        splits_sha256=splits_digest(splits),
        fidelity=f"{fidelity}; splits: {splits_origin}",
        path=path,
    )
