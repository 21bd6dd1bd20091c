"""What a caller of the estimator has given, as the training wants it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields

import torch
from pymatgen.core import Structure

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.grouping import formula_groups
from moe_mat.crystals.splits import Split
from moe_mat.crystals.structures import structure_key
from moe_mat.encoders import Device
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.labelled import Known
from moe_mat.mixture.settings import MixtureSettings
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.compositions import are_formulas, check_formulas, experts_of_formulas
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts

logger = logging.getLogger(__name__)


# Settings that are no arguments.
SET_BY_DATA = ("targets", "classes", "units")


def given_settings(
    estimator: object, experts: list[str], targets: list[str], classes: list[str] | None
) -> MixtureSettings:
    """What an estimator's constructor was given, as the model's settings; sequences as plain data."""
    given = {one.name: getattr(estimator, one.name) for one in fields(MixtureSettings) if one.name not in SET_BY_DATA}
    given |= {"experts": experts, "hidden": tuple(given["hidden"])}
    given |= {name: dict(given[name]) for name in ("initial_gate", "head_settings") if given[name] is not None}
    return MixtureSettings(**given, targets=targets, classes=classes)


def given_experts(
    experts: str | Sequence[str], structures: Sequence[Structure], on_unknown_element: OnUnknownElement
) -> list[ExpertCard]:
    """Cards of the experts that are used for some crystals; a tier means those that can embed them.

    Raises:
        CardError: When a name finds no expert, or one that needs structures where there are formulas.
        ValueError: When no expert is left.
    """
    names = experts_of_formulas(experts) if are_formulas(structures) else experts
    cards = find_cards(names if isinstance(names, str) else list(names))
    check_formulas(cards, structures)
    if on_unknown_element == "drop_expert":
        knowing = KnowingExperts.of(cards, structures)
        for line in knowing.left_out:
            logger.warning(line)
        return knowing.cards
    if on_unknown_element != "refuse":
        raise ValueError(f"on_unknown_element is {on_unknown_element!r}: use 'refuse' or 'drop_expert'")
    return cards


def given_data(
    crystals: EmbeddedCrystals, known: Known, split: Split, *, batch_size: int, device: Device
) -> EmbeddingDataModule:
    """Embedded crystals, with what is known of them, as what is trained on; crystals are called by row."""
    data = EmbeddingDataModule(
        crystals.embeddings,
        known.targets,
        {part: torch.as_tensor(rows) for part, rows in split._asdict().items()},
        ids=[str(row) for row in range(len(known.targets))],
        partial=crystals.partial,
        collate=crystals.collate,
        batch_size=batch_size,
        device=device,
        weights=known.weights,
    )
    data.keys = [structure_key(structure) for structure in crystals.structures]
    data.formulas = formula_groups(crystals.structures).tolist()
    return data
