"""Training of a hub: a backbone on all source properties at once, then modules on one property each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from moe_mat.encoders import Encoder
from moe_mat.encoders.adapter import adapter_names
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.pretrain.batches import SourceInputs
from moe_mat.pretrain.cgcnn_experts import train_cgcnn
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.hub_recipes import HubModule, HubRecipe
from moe_mat.pretrain.hub_sources import capped, join_sources, joined, read_sources
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.modules import ModuleProperty, start_module
from moe_mat.pretrain.recipes import SourceRecipe
from moe_mat.pretrain.sources import SourceData
from moe_mat.zoo.card_files import CardError, card_path
from moe_mat.zoo.card_parts import ModuleOrigin
from moe_mat.zoo.cards import ExpertCard, ModuleCard, read_card


def train_hub(job: SourceJob, hub: HubRecipe, chosen: Sequence[str]) -> list[ExpertCard]:
    """Train backbone and modules of a hub, and write their cards and weights.

    A backbone that is not chosen is taken from the folder of the experts: modules can be added later without touching
    those that are there.

    Args:
        job: Of all sources as one, see `moe_mat.pretrain.hub_sources.joint_recipe`.
        hub: The recipe.
        chosen: Names of trainings.

    Returns:
        The cards; none in the secondary processes of a distributed training, which serves the backbone alone.

    Raises:
        CardError: When the backbone is neither there nor to be trained.
        RecipeError: When several processes are to train modules.
    """
    modules = {tag: module for tag, module in hub.modules.items() if tag in chosen}
    if modules and job.processes.count > 1:
        raise RecipeError(
            f"hub {hub.name}: {job.processes.count} processes cannot train modules, which wait for the backbone: train "
            f"that by all of them (--only {hub.backbone_tag}), and modules by one (--trainer.devices 1)"
        )
    cards: list[ExpertCard] = []
    if not isinstance(hub.backbone, str) and hub.backbone_tag in chosen:
        encoder: Encoder = CGCNNEncoder(**hub.backbone.encoder)
        sources = read_sources(hub, job.data, encoder.prepare)
        targets = list(job.recipe.targets.values())
        title = f"Backbone of the hub {hub.name}: a CGCNN of {len(targets)} properties"
        source = join_sources(hub, sources)
        cards += train_cgcnn(job, hub.backbone_tag, title, training=hub.backbone, source=source, targets=targets)
        if not cards:
            return []
        backbone = cards[0]
    else:
        backbone = _find_backbone(job, hub)
        encoder = start_module(backbone).encoder
        sources = read_sources(hub, job.data, encoder.prepare, only={module.source for module in modules.values()})
    for tag, module in modules.items():
        cards += _train_module(job, hub, tag, module, sources[module.source], backbone, encoder)
    return cards


def _find_backbone(job: SourceJob, hub: HubRecipe) -> ExpertCard:
    path = card_path(hub.backbone_tag, job.output)
    if not path.exists():
        beside = job.output / path.name
        raise CardError(f"there is no backbone {beside}: train it first (--only {hub.backbone_tag})")
    return read_card(path)


def _train_module(
    job: SourceJob,
    hub: HubRecipe,
    tag: str,
    what: HubModule,
    source: SourceData,
    backbone: ExpertCard,
    encoder: Encoder,
) -> list[ExpertCard]:
    entry = hub.sources[what.source]
    training = replace(hub.kinds[what.kind], max_atoms=entry.max_atoms)
    recipe = _module_recipe(hub, what.source, backbone)
    part = source.with_value_of(entry.targets.index(what.target))
    part = capped(part, training.max_crystals, seed=hub.seed)

    def build(rows: Tensor, transformed: Tensor) -> ModuleProperty:
        expert = start_module(backbone, bottleneck=training.bottleneck)
        return ModuleProperty(transformed, training=training, seed=hub.seed, expert=expert)

    target, inputs = recipe.targets[what.target], SourceInputs.of_samples(part.samples, encoder.collate)
    module, experts = replace(job, recipe=recipe).train(
        tag, training, part, [target], inputs=inputs, build=build, start=backbone.digest
    )
    if experts is None:
        return []
    trained = module.expert.encoder
    adapter = {} if training.bottleneck is None else {"adapter": training.bottleneck}
    start = module.expert.card
    card_of = partial(
        ModuleCard,
        module=ModuleOrigin(what.kind, start.tag, start.weights_id),
        encoder=start.encoder,
        settings=start.settings | adapter,
        readout=start.readout,
        dim=start.dim,
    )
    title = f"{target.name.replace('_', ' ').capitalize()}, {what.kind} module of {backbone.tag}"
    only = adapter_names(trained.state_dict()) if training.adapters_only else None
    return [experts.write(tag, title, trained, names=[target.name], card_of=card_of, only=only)]


def _module_recipe(hub: HubRecipe, source: str, backbone: ExpertCard) -> SourceRecipe:
    """The recipe of a source, as a module's card quotes it."""
    recipe = hub.sources[source].recipe
    citation = [backbone.citation] if isinstance(backbone.citation, str) else backbone.citation
    return replace(
        recipe,
        name=f"{hub.name}_{source}",
        # A module has learned from all that its backbone has, and comes under its terms.
        license=joined([backbone.license, recipe.license]),
        citation=joined([*citation, recipe.citation]),
        seed=hub.seed,
    )
