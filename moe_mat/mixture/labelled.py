"""Crystals, targets and weights as a caller of the estimator has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure

from moe_mat.crystals.given import Crystals, File, given_crystals, is_file
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import Split, random_split, stratified_split
from moe_mat.crystals.target_kinds import TargetKind
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals
from moe_mat.mixture.weights import given_weights, joined_weights, weights_of_column

Targets = ArrayLike | str | Sequence[str]
"""Values ``[n]`` or ``[n, n_targets]``, or the columns of a file that have them."""

Weights = ArrayLike | str | None
"""How much crystals count ``[n]``, or the column of a file that has it."""

Validation = tuple[Crystals, Targets] | tuple[Crystals, Targets, Weights]
"""Crystals, their targets, and their weights if there are any."""


@dataclass(frozen=True)
class Labelled:
    """Crystals with what a caller has given of them.

    Attributes:
        structures: Of the crystals ``[n]``.
        names: Of the crystals ``[n]``.
        values: Of the targets, an array, or a DataFrame that names them.
        weights: How much crystals count ``[n]``; ``None`` for all alike.
    """

    structures: list[Structure]
    names: list[str]
    values: ArrayLike
    weights: torch.Tensor | None

    @property
    def targets(self) -> torch.Tensor:
        """Targets ``[n, n_targets]``, see `given_targets`."""
        return given_targets(self.values, len(self.structures))

    def with_weight(self) -> Labelled:
        """Those of a weight above 0."""
        n = len(self.structures)
        if self.weights is None or (self.weights > 0).all() or np.shape(self.values)[:1] != (n,):
            return self
        kept = np.flatnonzero(self.weights.numpy() > 0)
        values = (
            self.values.iloc[kept]
            if isinstance(self.values, pd.DataFrame | pd.Series)
            else np.asarray(self.values)[kept]
        )
        structures = [self.structures[row] for row in kept]
        return Labelled(structures, [self.names[row] for row in kept], values, self.weights[kept])


def labelled(
    crystals: Crystals, y: Targets, weights: Weights = None, *, kind: TargetKind = "number", gaps: bool = False
) -> Labelled:
    """Crystals with targets and weights.

    Args:
        crystals: See `moe_mat.crystals.given.given_crystals`.
        y: Values of the targets; of a file or folder also the name of its column, or several.
        weights: ``[n]``, or of a file or folder the name of its column.
        kind: What the targets of a file are.
        gaps: Whether crystals of a file may have no target at all.

    Raises:
        CrystalError: When a crystal of a file cannot be used, or has no target.
        ValueError: When columns are named and there is no file, or weights are not as `given_weights` wants them.
    """
    if not is_file(crystals):
        if named := [repr(one) for one in (y, weights) if isinstance(one, str)]:
            raise ValueError(f"{named[0]} names a column, and the crystals are not those of a file: pass its values")
        structures, called = named_structures(crystals)
        return Labelled(structures, called, y, given_weights(weights, len(structures)))
    names = _columns(y)
    structures, table = read_structures(cast(File, crystals), targets=() if gaps else names, kind=kind)
    if unknown := [name for name in names if name not in table]:
        raise ValueError(
            f"{crystals} has no column {unknown[0]!r}: its columns are {', '.join(map(str, table.columns))}"
        )
    if isinstance(weights, str):
        weights, problems = weights_of_column(table, weights)
        for row, reason in problems.items():
            name = table["material_id"].iloc[row]
            raise ValueError(f"{crystals}, crystal {name!r}: {reason}: a weight is a number that is not negative")
    columns = table[names] if kind == "class" else table[names].apply(pd.to_numeric, errors="coerce")
    values = columns[y] if isinstance(y, str) else columns if names else y
    called = table["material_id"].astype(str).tolist()
    return Labelled(structures, called, values, given_weights(weights, len(structures)))


def _columns(y: Targets) -> list[str]:
    """The columns that are named; none where values are given."""
    if isinstance(y, str):
        return [y]
    named = isinstance(y, list | tuple) and all(isinstance(one, str) for one in y)
    return [str(one) for one in y] if named else []  # type: ignore[union-attr]


def labelled_parts(
    crystals: Crystals, y: Targets, weights: Weights, validation: Validation | None, *, kind: TargetKind = "number"
) -> list[Labelled]:
    """Crystals of a weight above 0, and those of ``validation``, if there are any; see `labelled`."""
    parts = [labelled(crystals, y, weights, kind=kind)]
    parts += [] if validation is None else [labelled(*validation, kind=kind)]
    return [part.with_weight() for part in parts]


class Known:
    """What a model is to learn from: crystals of a weight above 0, and others that choose epoch and settings.

    Args:
        parts: The crystals, and the others where a random part of the crystals does not choose.
        targets: Of both, what is learned of them ``[n, n_targets]``, NaN where there is no value.

    Attributes:
        structures: Of all crystals ``[n]``, the others last.
        targets: As they were given.
        weights: ``[n]``; ``None`` for all alike.
        names: Of the targets.
        one_dimensional: Whether the targets were given as ``[n]``.
    """

    def __init__(self, parts: Sequence[Labelled], targets: torch.Tensor) -> None:
        self._sizes = [len(part.structures) for part in parts]
        self.structures = [structure for part in parts for structure in part.structures]
        self.targets = targets
        self.weights = joined_weights([part.weights for part in parts], self._sizes)
        self.names = target_names(parts[0].values, self.targets.shape[1])
        self.one_dimensional = np.ndim(parts[0].values) == 1

    def embedded(self, embed: Callable[[list[Structure]], EmbeddedCrystals]) -> EmbeddedCrystals:
        """All crystals, those of validation apart: the last digits depend on which are embedded together."""
        own = embed(self.structures[: self._sizes[0]])
        return own if len(self._sizes) == 1 else own.joined(embed(self.structures[self._sizes[0] :]))

    def split(self, validation_fraction: float, seed: int, *, by_class: bool = False) -> Split:
        """The given one, or a random one, in which each part has its share of every class."""
        n, n_own = len(self.targets), self._sizes[0]
        if len(self._sizes) > 1:
            return Split(np.arange(n_own), np.arange(n_own, n), np.arange(0))
        fractions = (1 - validation_fraction, validation_fraction, 0.0)
        if by_class:
            return stratified_split(labels_of(self.targets).tolist(), fractions=fractions, seed=seed)
        return random_split(n, fractions=fractions, seed=seed)


def given_structures(crystals: Crystals) -> list[Structure]:
    """Checked crystals, see `moe_mat.crystals.given.given_crystals`."""
    return [crystal.structure for crystal in given_crystals(crystals)]


def named_structures(crystals: Crystals) -> tuple[list[Structure], list[str]]:
    """Checked crystals, and their names: pandas' ``material_id`` or index, the ids of files, or else numbers."""
    found = given_crystals(crystals)
    if isinstance(crystals, pd.DataFrame) and "material_id" in crystals:
        names = crystals["material_id"].astype(str).tolist()
    elif isinstance(crystals, pd.DataFrame | pd.Series):
        names = crystals.index.astype(str).tolist()
    else:
        names = [crystal.material_id for crystal in found]
    unique = len({*names}) == len(names)
    return [crystal.structure for crystal in found], names if unique else [str(row) for row in range(len(found))]


def target_names(y: ArrayLike, n_targets: int) -> list[str]:
    """Names of the targets: those of pandas' columns, else numbers."""
    if isinstance(y, pd.DataFrame):
        return list(map(str, y.columns))
    if isinstance(y, pd.Series) and y.name is not None:
        return [str(y.name)]
    return [f"target{i}" for i in range(n_targets)]


def given_targets(y: ArrayLike, n_crystals: int) -> torch.Tensor:
    """Targets ``[n, n_targets]``, NaN where there is no value.

    Raises:
        ValueError: When there are more or fewer than crystals, one is infinite, or a crystal has none.
    """
    targets = np.asarray(y, dtype=np.float32)
    columns = targets[:, None] if targets.ndim == 1 else targets
    if columns.ndim != 2 or len(columns) != n_crystals:
        raise ValueError(f"{n_crystals} crystals need targets [n] or [n, n_targets], not of shape {targets.shape}")
    if np.isinf(columns).any():
        raise ValueError(f"the target of crystal {int(np.isinf(columns).any(1).argmax())} is infinite")
    if np.isnan(columns).all(1).any():
        raise ValueError(f"crystal {int(np.isnan(columns).all(1).argmax())} has no target value: leave it out")
    return torch.as_tensor(columns)


def given_labels(y: ArrayLike, n_crystals: int) -> NDArray[Any]:
    """Class labels ``[n]``.

    Raises:
        ValueError: When there are more or fewer than crystals, or a crystal has none.
    """
    labels = np.asarray(y)
    if labels.shape != (n_crystals,):
        raise ValueError(f"{n_crystals} crystals need class labels [n], not of shape {labels.shape}")
    if (missing := pd.isna(labels)).any():
        raise ValueError(f"crystal {int(missing.argmax())} has no class label: leave it out")
    return labels
