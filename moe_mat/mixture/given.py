"""Crystals and targets as a caller of the estimator has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from sklearn.metrics import r2_score

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.given import Crystals, File, given_crystals, is_file
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import Split
from moe_mat.encoders import Device
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.weights import given_weights, weights_of_column
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """Crystals with what a caller has given of them.

    Attributes:
        structures: Of the crystals ``[n]``.
        values: Of the targets, an array, or a DataFrame that names them.
        weights: How much crystals count ``[n]``; ``None`` for all alike.
    """

    structures: list[Structure]
    values: ArrayLike
    weights: torch.Tensor | None

    @property
    def targets(self) -> torch.Tensor:
        """Targets ``[n, n_targets]``, see `given_targets`."""
        return given_targets(self.values, len(self.structures))

    def with_weight(self) -> Labelled:
        """Those of a weight above 0."""
        if self.weights is None or (self.weights > 0).all():
            return self
        kept = (self.weights > 0).numpy()
        values = (
            self.values[kept] if isinstance(self.values, pd.DataFrame | pd.Series) else np.asarray(self.values)[kept]
        )
        return Labelled(
            [one for one, keep in zip(self.structures, kept, strict=True) if keep], values, self.weights[kept]
        )


def labelled(crystals: Crystals, y: Any, weights: Any = None) -> Labelled:
    """Crystals with targets and weights.

    Args:
        crystals: See `moe_mat.crystals.given.given_crystals`.
        y: Values of the targets; of a file or folder also the name of its column, or several.
        weights: ``[n]``, or of a file or folder the name of its column.

    Raises:
        CrystalError: When a crystal of a file cannot be used, or has no target.
        ValueError: When columns are named and there is no file, or weights are not as `given_weights` wants them.
    """
    names = [y] if isinstance(y, str) else y
    of_column = isinstance(names, list | tuple) and bool(names) and all(isinstance(one, str) for one in names)
    if not (of_column or isinstance(weights, str)):
        structures = given_structures(crystals)
        return Labelled(structures, y, given_weights(weights, len(structures)))
    if not is_file(crystals):
        named = y if of_column else weights
        raise ValueError(f"{named!r} names a column, and the crystals are not those of a file: pass its values")
    structures, table = read_structures(cast(File, crystals), targets=names if of_column else ())
    if isinstance(weights, str):
        weights, problems = weights_of_column(table, weights)
        for row, reason in problems.items():
            raise ValueError(f"{crystals}, crystal {table['material_id'].iloc[row]!r}: {reason}: a weight is a number")
    values = (table[y] if isinstance(y, str) else table[list(names)]) if of_column else y
    return Labelled(structures, values, given_weights(weights, len(structures)))


def given_structures(crystals: Crystals) -> list[Structure]:
    """Checked crystals, see `moe_mat.crystals.given.given_crystals`."""
    return [crystal.structure for crystal in given_crystals(crystals)]


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


def r2(true: ArrayLike, predicted: ArrayLike, weights: torch.Tensor | None = None) -> float:
    """Coefficient of determination of the values that there are, the mean over targets.

    Args:
        true: ``[n]`` or ``[n, n_targets]``; NaN where there is no value.
        predicted: Of the same shape.
        weights: How much crystals count ``[n]``.

    Raises:
        ValueError: When shapes differ, a value is infinite, or no target has two values.
    """
    values, said = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    if values.shape != said.shape:
        raise ValueError(f"targets of the shape {said.shape} are needed, and not {values.shape}")
    if np.isinf(values).any():
        raise ValueError(
            f"the target of crystal {int(np.isinf(values).reshape(len(values), -1).any(1).argmax())} is infinite"
        )
    scores = []
    for of_target, of_said in zip(values.reshape(len(values), -1).T, said.reshape(len(said), -1).T, strict=True):
        present = np.isfinite(of_target) if weights is None else np.isfinite(of_target) & (weights > 0).numpy()
        if present.sum() > 1:
            of_present = None if weights is None else weights.numpy()[present]
            scores.append(r2_score(of_target[present], of_said[present], sample_weight=of_present))
    if not scores:
        raise ValueError("no target has two values, and R2 compares errors with the spread of the values")
    return float(np.mean(scores))


def given_experts(
    experts: str | Sequence[str], structures: Sequence[Structure], on_unknown_element: OnUnknownElement
) -> list[ExpertCard]:
    """Cards of the experts that are used for some crystals.

    Raises:
        CardError: When a name finds no expert.
        ValueError: When no expert is left.
    """
    cards = find_cards(experts if isinstance(experts, str) else list(experts))
    if on_unknown_element == "drop_expert":
        knowing = KnowingExperts.of(cards, structures)
        for line in knowing.left_out:
            logger.warning(line)
        return knowing.cards
    if on_unknown_element != "refuse":
        raise ValueError(f"on_unknown_element is {on_unknown_element!r}: use 'refuse' or 'drop_expert'")
    return cards


def given_data(
    crystals: EmbeddedCrystals,
    targets: torch.Tensor,
    split: Split,
    *,
    batch_size: int,
    device: Device,
    weights: torch.Tensor | None = None,
) -> EmbeddingDataModule:
    """Embedded crystals, targets ``[n, n_targets]`` and a split as what is trained on; crystals are called by row."""
    return EmbeddingDataModule(
        crystals.embeddings,
        targets,
        {part: torch.as_tensor(rows) for part, rows in split._asdict().items()},
        ids=[str(row) for row in range(len(targets))],
        partial=crystals.partial,
        collate=crystals.collate,
        batch_size=batch_size,
        device=device,
        weights=weights,
    )
