"""Experts on a trunk: bodies, towers and predictions of property networks that are trained together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from moe_mat.crystals.structures import structure_key
from moe_mat.files.progress import Progress
from moe_mat.pretrain.batches import SourceInputs
from moe_mat.pretrain.export import Experts
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.networks import PropertyNetworks
from moe_mat.pretrain.settings import NetworkTraining
from moe_mat.pretrain.sources import SourceData, require_values
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.card_parts import NetworkShape
from moe_mat.zoo.cards import ExpertCard, NetworkCard, read_trunk, trunk_digest
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.property_network import PropertyNetwork

logger = logging.getLogger(__name__)


def train_network_experts(job: SourceJob, training: NetworkTraining) -> list[ExpertCard]:
    """Train the networks of a recipe, all of them at once.

    Returns:
        The cards; none in the secondary processes of a distributed training.
    """
    recipe = job.recipe
    trunk = read_trunk(training.trunk, job.output)
    source = job.read(training, training.targets, prepare=lambda structure: structure)
    source, embeddings = _embed(job, source, trunk)
    require_values(recipe, source, training.targets)

    def build(rows: Tensor, transformed: Tensor) -> PropertyNetworks:
        return PropertyNetworks(embeddings[rows], transformed, training=training, seed=recipe.seed)

    module, experts = job.train(
        recipe.networks_name,
        training,
        source,
        [recipe.targets[name] for name in training.targets],
        inputs=SourceInputs.of_embeddings(embeddings),
        build=build,
        start=trunk_digest(trunk),
    )
    return [] if experts is None else _write(experts, module, training)


def _embed(job: SourceJob, source: SourceData, trunk: Sequence[ExpertCard]) -> tuple[SourceData, Tensor]:
    """The crystals that the trunk can represent, and its embeddings of them, side by side ``[n, dim]``.

    One process of all that train together embeds them; where there are several, the others read what it writes beside
    the runs.
    """

    def compute() -> Tensor:
        with Progress("embedding crystals", total=len(source.ids)) as progress, EmbeddingCache() as cache:
            embedded = embed(trunk, source.samples, cache=cache, advance=progress.advance, device=job.device)
        for row, reason in embedded.refused.items():
            logger.info("left out: %s, crystal %s: %s", job.recipe.file, source.ids[row], reason)
        return torch.from_numpy(np.concatenate(list(embedded.values.values()), axis=1))

    content = hashlib.sha256(trunk_digest(trunk).encode())
    for structure in source.samples:
        content.update(structure_key(structure))
    name = f"{job.recipe.networks_name}-trunk-{content.hexdigest()[:12]}.safetensors"
    values = job.processes.once(job.runs / name, compute)
    kept = values.isfinite().all(dim=1)
    unsupported = source.rows["unsupported"] + int((~kept).sum())
    # The crystals themselves are needed no more, and are large.
    rows = kept.nonzero()[:, 0].numpy()
    rest = replace(source.take(rows), samples=[], rows=source.rows | {"unsupported": unsupported})
    return rest, values[kept]


def _write(experts: Experts, module: PropertyNetworks, training: NetworkTraining) -> list[ExpertCard]:
    """A body for each group, a tower for each target, and the predictions of all."""
    prefix, on_trunk = experts.recipe.name, " + ".join(training.trunk)
    cards: list[ExpertCard] = []
    body_tags = [f"{prefix}_body_{group}" for group in training.groups]
    for tag, names, body in zip(body_tags, training.groups.values(), module.bodies, strict=True):
        title = f"What {', '.join(names)} have in common, on {on_trunk}"
        cards.append(_write_network(experts, tag, title, body, names=names, trunk=training.trunk))
    tower_tags = [f"{prefix}_{name}" for name in training.targets]
    rows = zip(tower_tags, training.targets, module.group_of_target, module.towers, strict=True)
    for tag, name, group, tower in rows:
        title = f"{name.replace('_', ' ').capitalize()}, on {on_trunk}"
        cards.append(_write_network(experts, tag, title, tower, names=[name], trunk=[body_tags[group]]))
    title = f"Predictions of {', '.join(training.targets)}: transformed and standardised"
    tag, predictions = f"{prefix}_predictions", module.predictions()
    cards.append(_write_network(experts, tag, title, predictions, names=training.targets, trunk=tower_tags))
    return cards


def _write_network(
    experts: Experts, tag: str, title: str, network: PropertyNetwork, *, names: Sequence[str], trunk: Sequence[str]
) -> ExpertCard:
    sizes = tuple(cast(nn.Linear, layer).out_features for layer in network.layers)
    shape = NetworkShape(sizes, None if network.output == "silu" else "none")
    card_of = partial(NetworkCard, trunk=tuple(trunk), network=shape, dim=sizes[-1])
    return experts.write(tag, title, network, names=names, card_of=card_of)
