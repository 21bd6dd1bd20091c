"""Pretraining of a hub: a backbone on all source properties at once, then modules on one property each."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moe_mat.encoders import Encoder
from moe_mat.encoders.adapter import adapter_names
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.pretrain.cgcnn import CGCNNProperty, cgcnn_card
from moe_mat.pretrain.hub_recipes import HubRecipe, read_hub
from moe_mat.pretrain.hub_sources import capped, join_sources, joined, joint_recipe, read_sources
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.modules import ModuleProperty, start_module
from moe_mat.pretrain.recipes import RecipeError, Training
from moe_mat.pretrain.sources import SourceData
from moe_mat.pretrain.training import SourceModule
from moe_mat.zoo.card_files import CardError, card_path
from moe_mat.zoo.card_parts import ModuleOrigin
from moe_mat.zoo.cards import ExpertCard, ModuleCard, read_card


@dataclass(frozen=True, slots=True)
class _Module:
    """A module that is to be trained."""

    kind: str
    source: str
    target: str


def pretrain_hub(
    hub: str | Path | HubRecipe,
    *,
    data: str | Path,
    output: str | Path,
    runs: str | Path = "runs/pretrain",
    only: str | Sequence[str] = "*",
    trainer: Mapping[str, Any] | None = None,
) -> list[ExpertCard]:
    """Train backbone and modules of a hub, and write their cards and weights.

    A training that was interrupted goes on where its last epoch ended. Where ``only`` leaves the backbone out, it is
    taken from the folder of the experts: modules can be added later without touching those that are there.

    Args:
        hub: The recipe or its file.
        data: Folder of the sources' files.
        output: Folder of the experts.
        runs: Folder of checkpoints and logs.
        only: Patterns, one or several, of trainings: ``<hub>_backbone``, ``<hub>_full_<source>_<target>`` and
            ``<hub>_adapter_<source>_<target>``.
        trainer: Arguments of Lightning's Trainer.

    Returns:
        The cards; none in the secondary processes of a distributed training, which serves the backbone alone.

    Raises:
        RecipeError: When recipe and data do not go together, or ``only`` names no training.
        CardError: When the backbone is neither there nor to be trained.
    """
    hub = hub if isinstance(hub, HubRecipe) else read_hub(hub)
    options = dict(trainer or {})
    if (epochs := options.pop("max_epochs", None)) is not None:  # the cards tell what was done
        hub = hub.with_epochs(epochs)
    modules = {
        hub.module_tag(kind, source, target): _Module(kind, source, target)
        for kind in hub.modules
        for source, entry in hub.sources.items()
        for target in entry.targets
    }
    names = [*([hub.backbone_tag] if isinstance(hub.backbone, Training) else []), *modules]
    patterns = [only] if isinstance(only, str) else only
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        raise RecipeError(f"hub {hub.name} has no training {', '.join(patterns)}; it has {', '.join(names)}")
    job = SourceJob(joint_recipe(hub), Path(data), Path(output), Path(runs), options)
    job.output.mkdir(parents=True, exist_ok=True)
    cards: list[ExpertCard] = []
    if isinstance(hub.backbone, Training) and hub.backbone_tag in chosen:
        encoder: Encoder = CGCNNEncoder(**hub.backbone.settings.get("encoder", {}))
        sources = read_sources(hub, job.data, encoder.prepare)
        cards += _train_backbone(job, hub, hub.backbone, join_sources(hub, sources), encoder)
        if not cards:
            return []
        backbone = cards[0]
    else:
        backbone = _find_backbone(hub, job.output)
        encoder = start_module(backbone).encoder
        needed = {modules[tag].source for tag in chosen}
        sources = read_sources(hub, job.data, encoder.prepare, only=needed)
    for tag in chosen:
        if tag in modules:
            cards += _train_module(job, hub, modules[tag], sources[modules[tag].source], backbone, encoder)
    return cards


def _find_backbone(hub: HubRecipe, output: Path) -> ExpertCard:
    path = card_path(hub.backbone_tag, output)
    if not path.exists():
        beside = output / path.name
        raise CardError(f"there is no backbone {beside}: train it first (--only {hub.backbone_tag})")
    return read_card(path)


def _train_backbone(
    job: SourceJob, hub: HubRecipe, training: Training, source: SourceData, encoder: Encoder
) -> list[ExpertCard]:
    targets = list(job.recipe.targets.values())

    def build(rows: Tensor, transformed: Tensor) -> SourceModule:
        return CGCNNProperty(transformed, training=training, seed=hub.seed)

    module, experts = job.train(hub.backbone_tag, training, source, targets, build=build, **_batches(source, encoder))
    if experts is None:
        return []
    assert isinstance(module, CGCNNProperty)
    card = experts.write(
        hub.backbone_tag,
        f"Backbone of the hub {hub.name}: a CGCNN of {len(targets)} properties",
        module.encoder,
        names=[target.name for target in targets],
        card_of=cgcnn_card(module, training.settings.get("encoder", {})),
    )
    return [card]


def _train_module(
    job: SourceJob, hub: HubRecipe, what: _Module, source: SourceData, backbone: ExpertCard, encoder: Encoder
) -> list[ExpertCard]:
    entry = hub.sources[what.source]
    training = replace(hub.modules[what.kind], max_atoms=entry.max_atoms)
    adapters_only, bottleneck = what.kind == "adapter", training.settings.get("bottleneck")
    recipe = replace(
        entry.recipe,
        name=f"{hub.name}_{what.source}",
        # A module has learned from all that its backbone has, and comes under its terms.
        license=joined([backbone.license, entry.recipe.license]),
        citation=joined([*_listed(backbone.citation), entry.recipe.citation]),
        seed=hub.seed,
    )
    part = source.with_value_of(entry.targets.index(what.target))
    part = capped(part, training.settings.get("max_crystals"), seed=hub.seed)

    def build(rows: Tensor, transformed: Tensor) -> SourceModule:
        expert = start_module(backbone, bottleneck=bottleneck)
        return ModuleProperty(transformed, training=training, seed=hub.seed, expert=expert, adapters_only=adapters_only)

    tag, target = hub.module_tag(what.kind, what.source, what.target), recipe.targets[what.target]
    module, experts = replace(job, recipe=recipe).train(
        tag, training, part, [target], build=build, start=backbone.digest, **_batches(part, encoder)
    )
    if experts is None:
        return []
    assert isinstance(module, ModuleProperty)
    trained, of = module.expert.encoder, module.expert.card
    card = experts.write(
        tag,
        f"{target.name.replace('_', ' ').capitalize()}, {what.kind} module of {backbone.tag}",
        trained,
        names=[target.name],
        only=adapter_names(trained.state_dict()) if adapters_only else None,
        card_of=partial(
            ModuleCard,
            module=ModuleOrigin("adapter" if adapters_only else "full", of.tag, of.weights_id),
            encoder=of.encoder,
            settings=of.settings | ({"adapter": bottleneck} if bottleneck is not None else {}),
            readout=of.readout,
            dim=of.dim,
        ),
    )
    return [card]


def _listed(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values


def _batches(source: SourceData, encoder: Encoder) -> dict[str, Any]:
    """How batches are made of the crystals of a source."""
    samples = source.samples
    return {
        "take": lambda rows: encoder.collate([samples[row] for row in rows.tolist()]),
        "sizes": torch.tensor([len(sample.atomic_numbers) for sample in samples]),
    }
