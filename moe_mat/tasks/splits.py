"""The splits of a task: published ones, the folds of Matbench, or seeded ones where there are none."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from moe_mat.crystals import PARTS, Split, random_split, read_split
from moe_mat.files import write_text
from moe_mat.tasks.cards import TaskCard

logger = logging.getLogger(__name__)

N_SPLITS = 5
SEEDED = "seeded, 70/15/15"


class TaskDataError(ValueError):
    """The prepared data of a task are missing or are not what its card says."""


def splits_digest(splits: tuple[Split, ...]) -> str:
    """SHA-256 of the row numbers of all parts of all splits."""
    content = [[sorted(int(row) for row in part) for part in split] for split in splits]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def matbench_folds(n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (train, test) rows of Matbench v0.1's five folds of a regression task (Dunn et al., 2020)."""
    folds = KFold(n_splits=N_SPLITS, shuffle=True, random_state=18012019)
    return list(folds.split(np.zeros(n_rows)))


def find_splits(card: TaskCard, folder: Path, *, same_rows: bool) -> tuple[Path, str]:
    """The file of the splits of a task, and where they come from.

    Args:
        card: of the task.
        folder: of prepared data.
        same_rows: whether the prepared rows are those of the card; other splits count other rows.
    """
    path = folder / "splits" / f"{card.name}.json"
    if same_rows and path.is_file():
        return path, "published" if card.rows != "rebuilt" else f"of {path.name}, not published"
    return path.with_name(f"{card.name}.seeded.json"), SEEDED


def read_splits(path: Path, origin: str, table: pd.DataFrame) -> tuple[Split, ...]:
    """The splits in a file, as row numbers of a table; seeded ones are made and stored where they are missing.

    Args:
        path: as `find_splits` gives it.
        origin: likewise.
        table: of the task.

    Raises:
        TaskDataError: the file is damaged or names rows that are not there.
    """
    if path.is_file() or origin != SEEDED:
        try:
            splits = tuple(read_split(path, number, table) for number in range(N_SPLITS))
        except ValueError as error:
            raise TaskDataError(str(error)) from error
        if origin == SEEDED and json.loads(path.read_text(encoding="utf-8")).get("sha256") != splits_digest(splits):
            raise TaskDataError(f"{path} does not have its checksum: delete it to have the same splits made again")
        return splits
    splits = tuple(random_split(len(table), seed=seed) for seed in range(N_SPLITS))
    rows = table["row"].to_numpy() if "row" in table else np.arange(len(table))
    content: Mapping[str, object] = {
        "origin": origin,
        "sha256": splits_digest(splits),
        **{
            str(number): {part: rows[getattr(split, part)].tolist() for part in PARTS}
            for number, split in enumerate(splits)
        },
    }
    try:
        write_text(path, json.dumps(content))
    except OSError as error:
        logger.warning("%s cannot be stored (%s); the same splits are made again from their seeds", path, error)
    return splits
