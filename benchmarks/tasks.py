"""The tasks: their cards, and the prepared crystals, targets and splits behind them.

A card's recipe was worked out from the published rows. Whether it still fits matminer's data shows when it is run:
`moe_mat.tasks.recipes.prepare` refuses rows that contradict the card, and so does `read_task` with a prepared file.
"""

import difflib
import fnmatch
import functools
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jsonschema
import numpy as np
import pandas as pd
import yaml
from pymatgen.core import Structure
from sklearn.model_selection import KFold

from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import PARTS, Split, read_split
from moe_mat.files.folders import DATA_VARIABLE, data_folder
from moe_mat.files.whole import write_text
from moe_mat.tasks.data import N_SPLITS, seeded_splits
from moe_mat.tasks.recipes import TRANSFORMS, Evidence, Recipe, read_origin

logger = logging.getLogger(__name__)

CARDS = Path(__file__).parent / "tasks"
SCHEMA = Path(__file__).parent / "task_card.schema.json"


class TaskDataError(ValueError):
    """The prepared data of a task are missing or are not what its card says."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published test MAE: mean over splits, and the spread that the source gives with it."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Matbench:
    """The Matbench task with the same rows.

    Attributes:
        name: its name there.
        unit: of the raw target, in which it is scored.
        rows: how its rows relate to ours.
        mae: method -> MAE, mean over the folds.
    """

    name: str
    unit: str
    rows: str
    mae: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TaskCard:
    """One benchmark task.

    Attributes:
        name: also the name of the target column and of the files.
        title: for tables and plots.
        unit: of the raw property; the target is in this unit only where the transform is "none".
        quantity: what is measured or computed, in the words of `moe_mat.audit.quantities`.
        rows: published, rematched (same rows, some with another structure) or rebuilt (other rows: not comparable).
        fidelity: the same in words; every report repeats it.
        recipe: how the task is made from matminer's data.
        evidence: row count, target mean and standard deviation.
        published: method -> published test MAE, in the unit of the (transformed) target.
        source: where those are published.
        matbench: the same rows in Matbench, if there.
        path: the card's file.
    """

    name: str
    title: str
    unit: str
    quantity: str
    rows: Literal["published", "rematched", "rebuilt"]
    fidelity: str
    recipe: Recipe
    evidence: Evidence
    published: Mapping[str, Published]
    source: str | None
    matbench: Matbench | None
    path: Path

    @property
    def comparable(self) -> bool:
        """Whether there are published numbers that belong to (nearly) the same rows."""
        return self.rows != "rebuilt" and bool(self.published)

    def to_raw(self, target: np.ndarray) -> np.ndarray:
        """Targets or predictions in the raw unit: the recipe's transform undone."""
        return TRANSFORMS[self.recipe.transform][1](target)


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


def list_tasks(pattern: str = "*") -> list[str]:
    """The names of the tasks, sorted, that match a shell pattern."""
    return sorted(path.stem for path in CARDS.glob("*.yaml") if fnmatch.fnmatch(path.stem, pattern))


@functools.lru_cache(maxsize=128)
def load_task(name: str) -> TaskCard:
    """A task's card.

    Raises:
        ValueError: there is no such task, or its card breaks the schema; the message says where.
    """
    path = CARDS / f"{name}.yaml"
    if name not in list_tasks():
        close = difflib.get_close_matches(name, list_tasks(), n=3) or list_tasks()
        raise ValueError(f"There is no task {name!r}; there is {', '.join(close)}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        jsonschema.validate(content, json.loads(SCHEMA.read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise ValueError(f"{path}, {error.json_path}: {error.message}") from error
    if content["task"] != name:
        raise ValueError(f"{path} is the card of {content['task']!r}; name the file like the task")
    published, matbench = content["published"] or {}, content["matbench"]
    return TaskCard(
        name=name,
        title=content["title"],
        unit=content["unit"],
        quantity=content["quantity"],
        rows=content["rows"],
        fidelity=content["fidelity"],
        recipe=Recipe.from_dict(content["recipe"]),
        evidence=Evidence(**content["evidence"]),
        published=MappingProxyType({method: Published(**mae) for method, mae in published.get("test_mae", {}).items()}),
        source=published.get("source"),
        matbench=None if matbench is None else Matbench(**{**matbench, "mae": MappingProxyType(matbench["mae"])}),
        path=path,
    )


def read_task(name: str, *, folder: Path | None = None) -> Task:
    """A task's crystals, targets and splits.

    Args:
        name: of the task.
        folder: with ``benchmark/<task>.parquet`` and, for published splits, ``splits/<task>.json``; by default
            ``MOE_MAT_DATA``.

    Raises:
        TaskDataError: a file is missing, cannot be read, or contradicts the card.
    """
    card = load_task(name)
    folder = data_folder() if folder is None else Path(folder)
    path = folder / "benchmark" / f"{name}.parquet"
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
    fidelity, same_rows = card.fidelity, True
    if contradiction := card.evidence.contradiction(found):
        if origin is None or origin.get("exact", True) or card.recipe.exact:
            raise TaskDataError(f"Task {name}: {path} has {contradiction} ({card.path})")
        if Evidence(**origin["evidence"]) != found:
            raise TaskDataError(f"Task {name}: {path} is not what was written to it: prepare it again")
        same_rows = False
        fidelity = f"built from {origin['dataset']}: {contradiction}; do not compare with published numbers"
        logger.warning("Task %s is %s", name, fidelity)
    splits, splits_origin = _splits(folder / "splits" / f"{name}.json", table, card if same_rows else None)
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


def splits_digest(splits: tuple[Split, ...]) -> str:
    """SHA-256 of the row numbers of all parts of all splits."""
    content = [[sorted(int(row) for row in part) for part in split] for split in splits]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def matbench_folds(n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (train, test) rows of Matbench v0.1's five folds of a regression task (Dunn et al., 2020)."""
    folds = KFold(n_splits=N_SPLITS, shuffle=True, random_state=18012019)
    return list(folds.split(np.zeros(n_rows)))


def _splits(path: Path, table: pd.DataFrame, card: TaskCard | None) -> tuple[tuple[Split, ...], str]:
    """The splits that belong to the card's rows, or seeded ones, which are then stored in a file of their own."""
    if card is not None and path.is_file():
        return _read_splits(path, table), "published" if card.rows != "rebuilt" else f"of {path.name}, not published"
    path = path.with_name(f"{path.stem}.seeded.json")
    origin = "seeded, 70/15/15"
    if path.is_file():
        splits = _read_splits(path, table)
        if json.loads(path.read_text(encoding="utf-8")).get("sha256") != splits_digest(splits):
            raise TaskDataError(f"{path} does not have its checksum: delete it to have the same splits made again")
        return splits, origin
    splits = seeded_splits(len(table))
    content: dict[str, Any] = {"origin": origin, "sha256": splits_digest(splits)}
    rows = table["row"].to_numpy() if "row" in table else np.arange(len(table))
    for number, split in enumerate(splits):
        content[str(number)] = {part: rows[getattr(split, part)].tolist() for part in PARTS}
    try:
        write_text(path, json.dumps(content))
    except OSError as error:
        logger.warning("%s cannot be stored (%s); the same splits are made again from their seeds", path, error)
    return splits, origin


def _read_splits(path: Path, table: pd.DataFrame) -> tuple[Split, ...]:
    try:
        return tuple(read_split(path, number, table) for number in range(N_SPLITS))
    except ValueError as error:
        raise TaskDataError(str(error)) from error
