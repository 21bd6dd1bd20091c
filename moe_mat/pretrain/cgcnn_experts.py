"""CGCNN experts: trained from scratch on source data, one a target, or one on many as the backbone of a hub."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.graphs.message_passing import batch_graphs
from moe_mat.pretrain.batches import SourceInputs
from moe_mat.pretrain.cgcnn import CGCNNProperty, cgcnn_card
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.settings import CGCNNExpertsTraining, CGCNNTraining
from moe_mat.pretrain.sources import SourceData
from moe_mat.pretrain.targets import SourceTarget
from moe_mat.zoo.cards import ExpertCard


def train_cgcnn_experts(job: SourceJob, training: CGCNNExpertsTraining, chosen: Sequence[str]) -> list[ExpertCard]:
    """Train those experts of a recipe whose tags are chosen, each on the crystals that have a value of its target."""
    recipe = job.recipe
    names = [name for name in training.targets if recipe.cgcnn_tag(name) in chosen]
    if not names:
        return []
    source = job.read(training, names, prepare=CGCNNEncoder(**training.encoder).prepare)
    cards: list[ExpertCard] = []
    for column, name in enumerate(names):
        title = f"{name.replace('_', ' ').capitalize()}, by CGCNN"
        part, targets = source.with_value_of(column), [recipe.targets[name]]
        cards += train_cgcnn(job, recipe.cgcnn_tag(name), title, training=training, source=part, targets=targets)
    return cards


def train_cgcnn(
    job: SourceJob,
    tag: str,
    title: str,
    *,
    training: CGCNNTraining,
    source: SourceData,
    targets: Sequence[SourceTarget],
) -> list[ExpertCard]:
    """Train one CGCNN on one or several targets.

    Args:
        job: Writes the expert.
        tag: Of the expert, and name of the run.
        title: Of the expert.
        training: How to train.
        source: Crystals as graphs.
        targets: What the columns of their values are.

    Returns:
        The card; none in the secondary processes of a distributed training.
    """

    def build(rows: Tensor, transformed: Tensor) -> CGCNNProperty:
        return CGCNNProperty(transformed, training=training, seed=job.recipe.seed)

    inputs = SourceInputs.of_samples(source.samples, batch_graphs)
    module, experts = job.train(tag, training, source, targets, inputs=inputs, build=build)
    if experts is None:
        return []
    names, card_of = [target.name for target in targets], cgcnn_card(module, training.encoder)
    return [experts.write(tag, title, module.encoder, names=names, card_of=card_of)]
