"""Pretraining: from a recipe and source data to experts with cards."""

from __future__ import annotations

import dataclasses
import fnmatch
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.graphs.message_passing import batch_graphs
from moe_mat.pretrain.cgcnn import CGCNNProperty, cgcnn_card
from moe_mat.pretrain.hub import pretrain_hub
from moe_mat.pretrain.hub_recipes import is_hub
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.networks import PropertyNetworks
from moe_mat.pretrain.recipes import RecipeError, SourceRecipe, Training, read_recipe
from moe_mat.pretrain.sources import SourceData, require_values
from moe_mat.pretrain.training import SourceModule
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.card_parts import NetworkShape
from moe_mat.zoo.cards import ExpertCard, NetworkCard, read_trunk, trunk_digest
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.property_network import PropertyNetwork

logger = logging.getLogger(__name__)


def pretrain(
    recipe: str | Path | SourceRecipe,
    *,
    data: str | Path,
    output: str | Path,
    runs: str | Path = "runs/pretrain",
    only: str | Sequence[str] = "*",
    trainer: Mapping[str, Any] | None = None,
) -> list[ExpertCard]:
    """Train the experts of a recipe and write their cards, weights and training_crystals.

    A training that was interrupted goes on where its last epoch ended; one that had finished is only exported again.

    Args:
        recipe: The recipe or its file; one of a hub is left to `moe_mat.pretrain.hub.pretrain_hub`.
        data: Folder of the source's file.
        output: Folder of the experts; the trunk's cards are there or in the package.
        runs: Folder of checkpoints and logs.
        only: Patterns, one or several, of trainings: ``<recipe>_networks`` and ``cgcnn_<recipe>_<target>``.
        trainer: Arguments of Lightning's Trainer.

    Returns:
        The cards; none in the secondary processes of a distributed training.

    Raises:
        RecipeError: When recipe and data do not go together, or ``only`` names no training.
    """
    if not isinstance(recipe, SourceRecipe):
        if is_hub(recipe):
            return pretrain_hub(recipe, data=data, output=output, runs=runs, only=only, trainer=trainer)
        recipe = read_recipe(recipe)
    options = dict(trainer or {})
    if (epochs := options.pop("max_epochs", None)) is not None:  # the cards tell what was done
        networks, cgcnn = (
            kind and dataclasses.replace(kind, max_epochs=epochs) for kind in (recipe.networks, recipe.cgcnn)
        )
        recipe = dataclasses.replace(recipe, networks=networks, cgcnn=cgcnn)
    job = SourceJob(recipe, Path(data), Path(output), Path(runs), options)
    job.output.mkdir(parents=True, exist_ok=True)
    names = [f"{recipe.name}_networks"] if recipe.networks else []
    if recipe.cgcnn:
        names += [_cgcnn_tag(recipe, target) for target in recipe.cgcnn.settings["targets"]]
    patterns = [only] if isinstance(only, str) else only
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        raise RecipeError(f"recipe {recipe.name} has no training {', '.join(patterns)}; it has {', '.join(names)}")
    cards: list[ExpertCard] = []
    if recipe.networks and names[0] in chosen:
        cards += _pretrain_networks(job, recipe.networks)
    if recipe.cgcnn and (targets := [t for t in recipe.cgcnn.settings["targets"] if _cgcnn_tag(recipe, t) in chosen]):
        cards += _pretrain_cgcnn(job, recipe.cgcnn, targets)
    return cards


def _cgcnn_tag(recipe: SourceRecipe, target: str) -> str:
    return f"cgcnn_{recipe.name}_{target}"


def _pretrain_networks(job: SourceJob, training: Training) -> list[ExpertCard]:
    recipe = job.recipe
    groups: dict[str, list[str]] = training.settings["groups"]
    names = [name for group in groups.values() for name in group]
    targets = [recipe.targets[name] for name in names]
    trunk_tags: list[str] = training.settings["trunk"]
    trunk = read_trunk(trunk_tags, job.output)
    source = job.read(training, names, prepare=lambda structure: structure)
    embeddings = _embed(source, trunk, recipe)
    require_values(recipe, source, names)

    def build(rows: Tensor, transformed: Tensor) -> SourceModule:
        return PropertyNetworks(embeddings[rows], transformed, groups=groups, training=training, seed=recipe.seed)

    module, experts = job.train(
        f"{recipe.name}_networks",
        training,
        source,
        targets,
        build=build,
        take=lambda rows: embeddings[rows],
        sizes=torch.ones(len(embeddings)),
        start=trunk_digest(trunk),
    )
    if experts is None:
        return []
    assert isinstance(module, PropertyNetworks)
    on_trunk = " + ".join(trunk_tags)
    cards: list[ExpertCard] = []
    body_tags = [f"{recipe.name}_body_{group}" for group in groups]
    for tag, members, body in zip(body_tags, groups.values(), module.bodies, strict=True):
        title = f"What {', '.join(members)} have in common, on {on_trunk}"
        cards.append(experts.write(tag, title, body, names=members, card_of=_network_card(body, trunk_tags)))
    tower_tags = [f"{recipe.name}_{name}" for name in names]
    for tag, target, group, tower in zip(tower_tags, targets, module.group_of_target, module.towers, strict=True):
        title = f"{target.name.replace('_', ' ').capitalize()}, on {on_trunk}"
        card_of = _network_card(tower, [body_tags[group]])
        cards.append(experts.write(tag, title, tower, names=[target.name], card_of=card_of))
    predictions = module.predictions()
    title = f"Predictions of {', '.join(names)}: transformed and standardised"
    tag = f"{recipe.name}_predictions"
    cards.append(experts.write(tag, title, predictions, names=names, card_of=_network_card(predictions, tower_tags)))
    return cards


def _network_card(network: PropertyNetwork, trunk: Sequence[str]) -> Callable[..., NetworkCard]:
    """Makes the card of a property network."""
    sizes = tuple(cast(nn.Linear, layer).out_features for layer in network.layers)
    shape = NetworkShape(sizes, None if network.output == "silu" else "none")
    return partial(NetworkCard, trunk=tuple(trunk), network=shape, dim=sizes[-1])


def _embed(source: SourceData, trunk: Sequence[ExpertCard], recipe: SourceRecipe) -> Tensor:
    """The trunk's embeddings, side by side; crystals that it cannot represent are taken out of the source."""
    with Progress(transient=True) as progress, EmbeddingCache() as cache:
        task = progress.add_task("embedding crystals", total=len(source.ids))
        embedded = embed(trunk, source.samples, cache=cache, advance=lambda n: progress.update(task, advance=n))
    for row, reason in embedded.refused.items():
        logger.info("left out: %s, crystal %s: %s", recipe.file, source.ids[row], reason)
    values = np.concatenate(list(embedded.values.values()), axis=1)
    kept = np.isfinite(values).all(axis=1)
    source.rows["unsupported"] += int((~kept).sum())
    source.ids = [name for name, keep in zip(source.ids, kept, strict=True) if keep]
    source.values, source.parts, source.samples = source.values[kept], source.parts[kept], []
    return torch.from_numpy(values[kept])


def _pretrain_cgcnn(job: SourceJob, training: Training, names: Sequence[str]) -> list[ExpertCard]:
    recipe = job.recipe
    settings = training.settings.get("encoder", {})
    source = job.read(training, names, prepare=CGCNNEncoder(**settings).prepare)
    cards: list[ExpertCard] = []
    for column, name in enumerate(names):
        part = source.with_value_of(column)
        graphs = part.samples
        target, tag = recipe.targets[name], _cgcnn_tag(recipe, name)

        def build(rows: Tensor, transformed: Tensor) -> SourceModule:
            return CGCNNProperty(transformed, training=training, seed=recipe.seed)

        def take(rows: Tensor, graphs: list[Any] = graphs) -> Any:
            return batch_graphs([graphs[row] for row in rows.tolist()])

        module, experts = job.train(
            tag,
            training,
            part,
            [target],
            build=build,
            take=take,
            sizes=torch.tensor([graph.n_atoms for graph in graphs]),
        )
        if experts is None:
            continue
        assert isinstance(module, CGCNNProperty)
        title, card_of = f"{name.replace('_', ' ').capitalize()}, by CGCNN", cgcnn_card(module, settings)
        cards.append(experts.write(tag, title, module.encoder, names=[name], card_of=card_of))
    return cards
