"""From a matminer data set to a benchmark task: its rows and its target, checked against the task's card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from moe_mat.crystals import LeftOut, as_structure, fetch_matminer, list_matminer, read_matminer, structure_problem
from moe_mat.tasks.cards import TaskCard, TaskCards
from moe_mat.tasks.evidence import Evidence
from moe_mat.tasks.prepared import Origin, prepared_path, write_prepared
from moe_mat.tasks.recipe import TRANSFORMS, Join, TaskRecipe

logger = logging.getLogger(__name__)

LoadFrame = Callable[[str], pd.DataFrame]


def build_table(recipe: TaskRecipe, name: str, *, load: LoadFrame) -> pd.DataFrame:
    """Make a task's table.

    Args:
        recipe: what to do.
        name: the task, and the name of its target column.
        load: matminer data set name -> its DataFrame; structures may be their dicts.

    Returns:
        Columns row (0, 1, ... in the data set's order), material_id, structure and `name`;
        ``table.attrs["left_out"]`` lists the rows that are not in it, each with the reason.

    Raises:
        ValueError: the data set lacks a column, or no row remains.
    """
    source = load(recipe.dataset)
    needed = [*recipe.target, *recipe.positive, *([recipe.material_id] if recipe.material_id else [])]
    _need(source, recipe.dataset, [*needed, recipe.join.left if recipe.join else "structure"])
    structures = source["structure"] if recipe.join is None else _joined(source, recipe.join, load)
    ids = source[recipe.material_id] if recipe.material_id else [f"{recipe.dataset}-{i}" for i in range(len(source))]
    values = source[list(recipe.target)].apply(pd.to_numeric, errors="coerce").mean(axis=1, skipna=False)
    positive = source[list(recipe.positive)].apply(pd.to_numeric, errors="coerce")

    rows: list[tuple[str, Structure, float]] = []
    left_out: list[LeftOut] = []
    for number, (material_id, structure, value) in enumerate(zip(ids, structures, values, strict=True)):
        if isinstance(structure, Mapping):
            structure = as_structure(structure)
        problem = _problem(recipe, structure, value, positive.iloc[number])
        if problem is None:
            rows.append((str(material_id), structure, value))
        else:
            left_out.append(LeftOut(f"{recipe.dataset}, row {number}", str(material_id), *problem))
    if not rows:
        raise ValueError(
            f"Task {name}: no row of {recipe.dataset} remains; the first is missing because of "
            f"{[asdict(one) for one in left_out[:1]]}"
        )
    if left_out:
        logger.info("Task %s: %d of %d rows of %s left out", name, len(left_out), len(source), recipe.dataset)

    table = pd.DataFrame(rows, columns=["material_id", "structure", name])
    table.insert(0, "row", range(len(table)))
    forward, _ = TRANSFORMS[recipe.transform]
    table[name] = forward(table[name].to_numpy(dtype=float))
    table.attrs["left_out"] = [asdict(one) for one in left_out]
    return table


def _problem(recipe: TaskRecipe, structure: object, value: float, positive: pd.Series) -> tuple[str, str] | None:
    """Why a row cannot be used: the column, and the reason; None where it can."""
    if not np.isfinite(value):
        return " / ".join(recipe.target), "no value"
    if not (positive > 0).all():
        column = positive.index[~(positive > 0)][0]
        return column, f"{positive[column]} is not above zero"
    if not isinstance(structure, Structure):
        return "structure", "no structure"
    reason = structure_problem(structure)
    return ("structure", reason) if reason else None


def build_task(card: TaskCard, folder: Path, *, load: LoadFrame | None = None) -> Path:
    """Build the task of a card, check it against the card's evidence, and write it to ``folder/benchmark``.

    Args:
        card: of the task.
        folder: the folder of prepared data.
        load: as in `build_table`; by default matminer data sets are fetched.

    Returns:
        The Parquet file.

    Raises:
        ValueError: the rows are not those of the card, although its recipe is exact. Nothing is written then.
    """
    recipe = card.recipe
    table = build_table(recipe, card.name, load=load or _load)
    found = Evidence.of(table[card.name])
    contradiction = card.evidence.contradiction(found)
    if contradiction and recipe.exact:
        raise ValueError(
            f"Task {card.name}: matminer's {recipe.dataset} gives {contradiction}; {card.path} does not fit this "
            "release"
        )
    if contradiction:
        logger.warning("Task %s: %s gives %s. %s", card.name, recipe.dataset, contradiction, card.fidelity)
    path = prepared_path(folder, card.name)
    origin = Origin(
        dataset=recipe.dataset,
        matminer=version("matminer"),
        exact=not contradiction,
        left_out=len(table.attrs["left_out"]),
        evidence=found,
    )
    write_prepared(table, path, origin=origin)
    return path


def fetch_sources(names: Sequence[str], cards: TaskCards) -> list[Path]:
    """Download the matminer data sets of some tasks, or matminer data sets by their names, where they are missing.

    Args:
        names: tasks, patterns of tasks, or data sets.
        cards: of the tasks.

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
        for card in cards.find([name]):
            join = card.recipe.join
            wanted |= dict.fromkeys([card.recipe.dataset, *([join.dataset] if join else [])])
    return [fetch_matminer(name) for name in wanted]


def _load(name: str) -> pd.DataFrame:
    # Structures stay dicts until a row needs one: a join may take a few thousand out of a hundred thousand.
    return read_matminer(fetch_matminer(name), decode=False)


def _need(table: pd.DataFrame, dataset: str, columns: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in table]:
        raise ValueError(
            f"The matminer data set {dataset} has no column {', '.join(missing)}; it has {', '.join(map(str, table))}"
        )


def _joined(source: pd.DataFrame, join: Join, load: LoadFrame) -> list[Structure | None]:
    other = load(join.dataset)
    _need(other, join.dataset, [join.right, "structure"])
    known = dict(zip(other[join.right], other["structure"], strict=True))
    return [known.get(key) for key in source[join.left]]
