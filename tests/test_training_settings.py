"""Settings of trainings: recipes, dataclasses and the encoder have the same names, and cards say what was set."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields

import pytest

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.pretrain.hub_recipes import HubRecipe, HubSource
from moe_mat.pretrain.recipes import SourceRecipe
from moe_mat.pretrain.settings import (
    CGCNNExpertsTraining,
    CGCNNSettings,
    CGCNNTraining,
    ModuleTraining,
    NetworkTraining,
)
from moe_mat.pretrain.targets import SourceTarget
from moe_mat.zoo.card_files import zoo_folder


def properties(schema: str, *path: str) -> set[str]:
    """Names that a recipe may have at some place."""
    content = json.loads((zoo_folder() / schema).read_text(encoding="utf-8"))
    for step in path:
        content = content[int(step)] if isinstance(content, list) else content[step]
    return set(content["properties"])


def names(of: type) -> set[str]:
    return {field.name for field in fields(of)}


@pytest.mark.parametrize(
    ("schema", "path", "expected"),
    [
        ("recipe.schema.json", (), names(SourceRecipe) | {"source"}),
        ("recipe.schema.json", ("properties", "targets", "additionalProperties"), names(SourceTarget) - {"name"}),
        ("recipe.schema.json", ("properties", "networks"), names(NetworkTraining)),
        ("recipe.schema.json", ("properties", "cgcnn"), names(CGCNNExpertsTraining)),
        ("recipe.schema.json", ("$defs", "cgcnn_encoder"), set(CGCNNSettings.__annotations__)),
        ("hub.schema.json", (), (names(HubRecipe) - {"kinds"}) | {"max_atoms", "full", "adapter"}),
        ("hub.schema.json", ("properties", "sources", "additionalProperties"), names(HubSource) - {"recipe"}),
        # Cells are limited by source, not by training.
        ("hub.schema.json", ("properties", "backbone", "oneOf", "1"), names(CGCNNTraining) - {"max_atoms"}),
        ("hub.schema.json", ("properties", "full"), names(ModuleTraining) - {"max_atoms", "bottleneck"}),
        ("hub.schema.json", ("properties", "adapter"), names(ModuleTraining) - {"max_atoms"}),
        ("hub.schema.json", ("$defs", "cgcnn_encoder"), set(CGCNNSettings.__annotations__)),
    ],
)
def test_recipes_may_set_what_trainings_have(schema: str, path: tuple[str, ...], expected: set[str]) -> None:
    assert properties(schema, *path) == expected


def test_settings_of_the_encoder_are_its_arguments() -> None:
    assert set(CGCNNSettings.__annotations__) == set(inspect.signature(CGCNNEncoder).parameters) - {"adapter"}


def test_cards_say_what_every_training_has_and_what_was_set_beside() -> None:
    general = {"max_atoms", "max_epochs", "patience", "batch_size", "learning_rate", "weight_decay", "precision"}
    networks = NetworkTraining(trunk=("magpie",), groups={"all": ("gap",)}, dropout=0.1, max_epochs=3)
    assert networks.on_card().keys() == general | {"trunk", "dropout"}
    assert (networks.on_card()["trunk"], networks.on_card()["max_epochs"]) == (["magpie"], 3)
    assert CGCNNExpertsTraining(targets=("gap",)).on_card().keys() == general
    assert CGCNNTraining(encoder={"width": 8}).on_card()["encoder"] == {"width": 8}
    assert ModuleTraining(bottleneck=2).on_card().keys() == general | {"bottleneck"}
