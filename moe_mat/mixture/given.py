"""Crystals and targets as a caller of the estimator has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.grouping import formula_groups
from moe_mat.crystals.splits import Split
from moe_mat.crystals.structures import crystals_from_objects, structure_key
from moe_mat.encoders import Device
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts

logger = logging.getLogger(__name__)

Crystals = Sequence[Structure] | Sequence[Atoms] | pd.Series | pd.DataFrame | NDArray[Any]


def given_structures(crystals: Crystals) -> list[Structure]:
    """Checked crystals.

    Raises:
        CrystalError: When one cannot be used; names its position.
        ValueError: When a DataFrame has no column of structures.
    """
    if isinstance(crystals, pd.DataFrame):
        if "structure" not in crystals:
            columns = ", ".join(map(str, crystals.columns))
            raise ValueError(f"the DataFrame has no column 'structure' but {columns}: pass its column of crystals")
        crystals = crystals["structure"]
    return [crystal.structure for crystal in crystals_from_objects(list(crystals))]


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
    crystals: EmbeddedCrystals, targets: torch.Tensor, split: Split, *, batch_size: int, device: Device
) -> EmbeddingDataModule:
    """Embedded crystals, targets ``[n, n_targets]`` and a split as what is trained on; crystals are called by row."""
    data = EmbeddingDataModule(
        crystals.embeddings,
        targets,
        {part: torch.as_tensor(rows) for part, rows in split._asdict().items()},
        ids=[str(row) for row in range(len(targets))],
        partial=crystals.partial,
        collate=crystals.collate,
        batch_size=batch_size,
        device=device,
    )
    data.keys = [structure_key(structure) for structure in crystals.structures]
    data.formulas = formula_groups(crystals.structures).tolist()
    return data
