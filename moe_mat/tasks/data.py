"""The data of the benchmark's tasks: which there are, what is prepared, and how faithful it is."""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from moe_mat.crystals.datasets import fetch_matminer, list_matminer
from moe_mat.crystals.splits import Split, random_split, read_split
from moe_mat.files.documents import read_yaml
from moe_mat.files.folders import task_cards_folder
from moe_mat.tasks.recipes import Evidence, read_origin

N_SPLITS = 5


@dataclass(frozen=True, slots=True)
class TaskData:
    """What is known of a task's data.

    Attributes:
        card: content of its card.
        path: where its prepared file is, or would be.
        rows: what the file holds, beside what the card says: ``as on the card``, a contradiction, or ``not prepared``.
        origin: who made the file: a recipe of matminer's data set, or ``given``.
        splits: ``published``, ``given, not published`` or ``seeded, 70/15/15``.
    """

    card: dict[str, Any]
    path: Path
    rows: str
    origin: str
    splits: str


def find_task_cards(patterns: Sequence[str] = ("*",)) -> list[Path]:
    """The cards of the tasks whose names match.

    Raises:
        ValueError: a pattern matches none.
    """
    cards = {path.stem: path for path in sorted(task_cards_folder().glob("*.yaml"))}
    found: dict[str, Path] = {}
    for pattern in patterns:
        names = fnmatch.filter(cards, pattern)
        if not names:
            close = difflib.get_close_matches(pattern, cards, n=3) or list(cards)
            raise ValueError(f"there is no task {pattern!r}; there is {', '.join(close)}")
        found |= {name: cards[name] for name in names}
    return list(found.values())


def fetch_sources(names: Sequence[str]) -> list[Path]:
    """Download the matminer data sets of some tasks, or matminer data sets by their names, where they are missing.

    Raises:
        FetchError: one cannot be downloaded.
        ValueError: there is no such task or data set.
    """
    known = set(list_matminer()["dataset"])
    wanted: dict[str, None] = {}
    for name in names:
        if name in known:
            wanted[name] = None
            continue
        for path in find_task_cards([name]):
            recipe = read_task_card(path)["recipe"]
            wanted |= dict.fromkeys([recipe["dataset"], *([recipe["join"]["dataset"]] if "join" in recipe else [])])
    return [fetch_matminer(name) for name in wanted]


def read_task_card(path: Path) -> dict[str, Any]:
    """The content of a task's card."""
    return read_yaml(path, what="task card")


def describe_task(card: Path, folder: Path) -> TaskData:
    """What a folder of prepared data holds of a task; only the target column is read."""
    content = read_task_card(card)
    name = content["task"]
    path = folder / "benchmark" / f"{name}.parquet"
    if not path.is_file():
        return TaskData(content, path, "not prepared", "", "")
    try:
        found = Evidence.of(pq.read_table(path, columns=[name])[name].to_numpy())
        noted = read_origin(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        return TaskData(content, path, f"damaged: {error}", "", "")
    contradiction = Evidence(**content["evidence"]).contradiction(found)
    origin = "given" if noted is None else f"{noted['dataset']} of matminer {noted['matminer']}"
    return TaskData(content, path, contradiction or "as on the card", origin, _splits(content, folder, contradiction))


def _splits(content: dict[str, Any], folder: Path, contradiction: str | None) -> str:
    path = folder / "splits" / f"{content['task']}.json"
    if contradiction is None and path.is_file():
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return f"damaged: {error}"
        return "published" if content["rows"] != "rebuilt" else "given, not published"
    return "seeded, 70/15/15"


def seeded_splits(n_rows: int) -> tuple[Split, ...]:
    """The splits of a task that has no published ones."""
    return tuple(random_split(n_rows, seed=seed) for seed in range(N_SPLITS))


def read_test_rows(task: TaskData, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Number of each split to the rows of a task's table that it tests on.

    Raises:
        ValueError: the file of the splits is not one.
    """
    name, folder = task.card["task"], task.path.parents[1] / "splits"
    path = folder / (f"{name}.seeded.json" if task.splits.startswith("seeded") else f"{name}.json")
    if path.is_file():
        splits = tuple(read_split(path, number, table) for number in range(N_SPLITS))
    else:
        splits = seeded_splits(len(table))
    return {str(number): split.test for number, split in enumerate(splits)}
