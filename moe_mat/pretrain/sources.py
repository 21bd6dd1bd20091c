"""Source data for pretraining: crystals are streamed, their values cleaned, and what falls away is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from rich.progress import Progress

from moe_mat.crystals.errors import LeftOut, UnsupportedCrystalError
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.structures import Crystal
from moe_mat.crystals.training_crystals import PARTS, TrainingCrystals, part_of
from moe_mat.pretrain.recipes import RecipeError, SourceRecipe

logger = logging.getLogger(__name__)

# Crystals that are cleaned at once.
CHUNK = 1024


@dataclass
class SourceData:
    """What is trained on.

    Attributes:
        ids: Names of the crystals.
        samples: What ``prepare`` made of each.
        values: Cleaned values in their units ``[n, n_targets]``, NaN where there is none.
        parts: Index in ``PARTS`` ``[n]``.
        rows: Number of crystals read, and left out for each reason.
        cleaning: Target to how many values it has and how many each rule concerned, in all crystals read.
        training_crystals: Of all crystals read that have a value of some target of the recipe.
    """

    ids: list[str]
    samples: list[Any]
    values: np.ndarray
    parts: np.ndarray
    rows: dict[str, int]
    cleaning: dict[str, dict[str, int]]
    training_crystals: TrainingCrystals

    def rows_of(self, part: str) -> np.ndarray:
        """Row numbers of ``train``, ``val`` or ``test``."""
        return np.flatnonzero(self.parts == PARTS.index(part))

    def take(self, rows: np.ndarray) -> SourceData:
        """Some of the crystals, in the order given."""
        ids, samples = ([values[row] for row in rows.tolist()] for values in (self.ids, self.samples))
        return replace(self, ids=ids, samples=samples, values=self.values[rows], parts=self.parts[rows])

    def with_value_of(self, column: int) -> SourceData:
        """The crystals that have a value of one target, and the values of that alone."""
        data = self.take(np.flatnonzero(np.isfinite(self.values[:, column])))
        return replace(data, values=data.values[:, [column]])


def read_source(
    recipe: SourceRecipe,
    folder: Path,
    *,
    targets: Sequence[str],
    max_atoms: int | None,
    prepare: Callable[[Structure], Any],
    exclude: Container[Structure] = (),
) -> SourceData:
    """Read the crystals of a source that have a value of one of the targets.

    Args:
        recipe: Names the file and the rules.
        folder: Where the file is.
        targets: Names of targets of the recipe; their order is that of the columns of ``values``.
        max_atoms: Larger cells are left out.
        prepare: Turns a crystal into what is kept of it; crystals for which it raises `UnsupportedCrystalError` are
            left out.
        exclude: Crystals that are left out.

    Raises:
        FileNotFoundError: When the file is not there.
        RecipeError: When nothing is left to train, validate or test on.
        ValueError: When the file cannot be read or lacks a column.
    """
    path = folder / recipe.file
    if not path.exists():
        raise FileNotFoundError(f"recipe {recipe.name}: there is no {path}; name the folder of {recipe.file} by --data")
    columns = sorted({column for target in recipe.targets.values() for column in target.columns()})
    left_out: list[LeftOut] = []
    data = SourceData([], [], np.empty((0, 0)), np.empty(0), {}, {name: {} for name in recipe.targets}, _no_prints())
    values: list[np.ndarray] = []
    prints: list[TrainingCrystals] = []
    parts: list[int] = []
    too_large = unsupported = without = excluded = 0

    with Progress(*Progress.get_default_columns()[:1], "{task.completed} crystals", transient=True) as progress:
        task = progress.add_task(f"reading {recipe.file}", total=None)
        for chunk in _chunks(iter_crystals(path, targets=columns, on_error="skip", left_out=left_out)):
            progress.update(task, advance=len(chunk))
            table = pd.DataFrame([crystal.values for crystal in chunk], columns=columns).astype(float)
            cleaned = {}
            for name, target in recipe.targets.items():
                cleaned[name], counts = target.clean(table)
                for rule, count in counts.items():
                    data.cleaning[name][rule] = data.cleaning[name].get(rule, 0) + count
            part = [part_of(c.material_id, fractions=recipe.fractions, seed=recipe.seed) for c in chunk]
            prints.append(_training_crystals(recipe, chunk, cleaned, part))
            wanted = np.stack([cleaned[name] for name in targets], axis=1)
            for row, crystal in enumerate(chunk):
                if not np.isfinite(wanted[row]).any():
                    without += 1
                elif max_atoms is not None and len(crystal.structure) > max_atoms:
                    too_large += 1
                elif crystal.structure in exclude:
                    excluded += 1
                else:
                    try:
                        data.samples.append(prepare(crystal.structure))
                    except UnsupportedCrystalError as error:
                        logger.info("left out: %s: %s", crystal.material_id, error)
                        unsupported += 1
                        continue
                    data.ids.append(crystal.material_id)
                    values.append(wanted[row])
                    parts.append(part[row])

    data.values = np.array(values).reshape(len(values), len(targets))
    data.parts = np.array(parts, dtype=np.int64)
    data.training_crystals = TrainingCrystals.join(prints) if prints else data.training_crystals
    data.rows = {
        "read": len(data.ids) + without + too_large + unsupported + excluded + len(left_out),
        "without_value": without,
        "too_large": too_large,
        "unsupported": unsupported,
        "unusable": len(left_out),
        "excluded": excluded,
    }
    require_values(recipe, data, targets)
    return data


def require_values(recipe: SourceRecipe, data: SourceData, targets: Sequence[str]) -> None:
    """Check that each target has values in each part.

    Raises:
        RecipeError: Names the target and the part, and counts what the rules removed.
    """
    for column, name in enumerate(targets):
        for part in PARTS:
            if not np.isfinite(data.values[data.rows_of(part), column]).any():
                raise RecipeError(
                    f"recipe {recipe.name}: target {name} has no {part} value; crystals: {data.rows}, "
                    f"values: {data.cleaning[name]}"
                )


def _chunks(crystals: Iterator[Crystal]) -> Iterator[list[Crystal]]:
    while chunk := list(islice(crystals, CHUNK)):
        yield chunk


def _training_crystals(
    recipe: SourceRecipe, chunk: Sequence[Crystal], cleaned: dict[str, np.ndarray], parts: Sequence[int]
) -> TrainingCrystals:
    kept = np.flatnonzero(np.isfinite(np.stack(list(cleaned.values()))).any(axis=0)).tolist()
    return TrainingCrystals.of(
        [chunk[row].material_id for row in kept],
        [chunk[row].structure for row in kept],
        parts=[parts[row] for row in kept],
        values={recipe.targets[name].property: values[kept] for name, values in cleaned.items()},
    )


def _no_prints() -> TrainingCrystals:
    return TrainingCrystals.of([], [], parts=[], values={"": np.empty(0)})
