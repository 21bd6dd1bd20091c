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

from moe_mat.crystals.errors import LeftOut, UnsupportedCrystalError
from moe_mat.crystals.grouping import formula_groups
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.structures import Crystal
from moe_mat.crystals.training_crystals import PARTS, TrainingCrystals, part_of
from moe_mat.files.progress import Progress
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.recipes import SourceRecipe

logger = logging.getLogger(__name__)

# Crystals that are cleaned at once.
CHUNK = 1024


@dataclass(frozen=True)
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
    left_out: list[LeftOut] = []
    reader = _SourceReader(recipe, targets=targets, max_atoms=max_atoms, prepare=prepare, exclude=exclude)
    with Progress(f"reading {recipe.file}") as progress:
        formulas = recipe.ground_state is not None
        crystals = iter_crystals(path, targets=reader.columns, on_error="skip", left_out=left_out, formulas=formulas)
        for chunk in _chunks(crystals):
            progress.advance(len(chunk))
            reader.add(chunk)
    data = reader.finish(n_unusable=len(left_out))
    require_values(recipe, data, targets)
    return data


class _SourceReader:
    """Takes crystals over chunk by chunk; the arguments are those of `read_source`."""

    def __init__(
        self,
        recipe: SourceRecipe,
        *,
        targets: Sequence[str],
        max_atoms: int | None,
        prepare: Callable[[Structure], Any],
        exclude: Container[Structure],
    ) -> None:
        self.recipe, self.targets = recipe, targets
        self.max_atoms, self.prepare, self.exclude = max_atoms, prepare, exclude
        self.columns = sorted({column for target in recipe.targets.values() for column in target.columns()})
        self.ids: list[str] = []
        self.samples: list[Any] = []
        self.values: list[np.ndarray] = []
        self.parts: list[int] = []
        self.refused = dict.fromkeys(("without_value", "too_large", "unsupported", "excluded"), 0)
        self.cleaning: dict[str, dict[str, int]] = {name: {} for name in recipe.targets}
        self.training_crystals: list[TrainingCrystals] = []

    def add(self, chunk: Sequence[Crystal]) -> None:
        """Clean the values of some crystals, and keep those crystals that may be trained on."""
        values = self._clean(chunk)
        names = [c.material_id for c in chunk]
        if self.recipe.ground_state is not None:
            names = formula_groups(c.structure for c in chunk).tolist()
        parts = [part_of(name, fractions=self.recipe.fractions, seed=self.recipe.seed) for name in names]
        self.training_crystals.append(_training_crystals(self.recipe, chunk, values, parts))
        wanted = np.stack([values[name] for name in self.targets], axis=1)
        for row, crystal in enumerate(chunk):
            if (reason := self._reason_against(crystal.structure, wanted[row])) is not None:
                self.refused[reason] += 1
                continue
            try:
                self.samples.append(self.prepare(crystal.structure))
            except UnsupportedCrystalError as error:
                logger.info("left out: %s: %s", crystal.material_id, error)
                self.refused["unsupported"] += 1
                continue
            self.ids.append(crystal.material_id)
            self.values.append(wanted[row])
            self.parts.append(parts[row])

    def _clean(self, chunk: Sequence[Crystal]) -> dict[str, np.ndarray]:
        """Target to values ``[n]``; what the rules concerned is counted."""
        table = pd.DataFrame([crystal.values for crystal in chunk], columns=self.columns).astype(float)
        cleaned = {}
        for name, target in self.recipe.targets.items():
            cleaned[name], counts = target.clean(table)
            for rule, count in counts.items():
                self.cleaning[name][rule] = self.cleaning[name].get(rule, 0) + count
        return cleaned

    def _reason_against(self, structure: Structure, values: np.ndarray) -> str | None:
        if not np.isfinite(values).any():
            return "without_value"
        if self.max_atoms is not None and len(structure) > self.max_atoms:
            return "too_large"
        return "excluded" if structure in self.exclude else None

    def finish(self, *, n_unusable: int) -> SourceData:
        """All that was kept, and the counts of what was not."""
        refused = self.refused
        nothing = TrainingCrystals.of([], [], parts=[], values={"": np.empty(0)})
        return SourceData(
            ids=self.ids,
            samples=self.samples,
            values=np.array(self.values).reshape(len(self.values), len(self.targets)),
            parts=np.array(self.parts, dtype=np.int64),
            rows={
                "read": len(self.ids) + sum(refused.values()) + n_unusable,
                "without_value": refused["without_value"],
                "too_large": refused["too_large"],
                "unsupported": refused["unsupported"],
                "unusable": n_unusable,
                "excluded": refused["excluded"],
            },
            cleaning=self.cleaning,
            training_crystals=TrainingCrystals.join(self.training_crystals) if self.training_crystals else nothing,
        )


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
    recipe: SourceRecipe, chunk: Sequence[Crystal], values: dict[str, np.ndarray], parts: Sequence[int]
) -> TrainingCrystals:
    kept = np.flatnonzero(np.isfinite(np.stack(list(values.values()))).any(axis=0)).tolist()
    return TrainingCrystals.of(
        [chunk[row].material_id for row in kept],
        [chunk[row].structure for row in kept],
        parts=[parts[row] for row in kept],
        values={recipe.targets[name].property: of_target[kept] for name, of_target in values.items()},
    )
