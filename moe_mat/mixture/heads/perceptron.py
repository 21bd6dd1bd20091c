"""The perceptron head: projections, gate and multilayer perceptron, trained by batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.gate import build_gate, imbalance, mix, orthogonality
from moe_mat.mixture.heads.base import Head, register_head
from moe_mat.mixture.heads.last_convolution import LastConvolutions
from moe_mat.mixture.heads.mlp import masked_loss, mlp
from moe_mat.mixture.heads.projection import Projections
from moe_mat.mixture.heads.whole_encoders import WholeEncoders
from moe_mat.mixture.settings import PerceptronSettings
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.experts import build_expert

# What can be trained of the experts, by its name in the settings.
TUNED: dict[str, type[LastConvolutions] | type[WholeEncoders]] = {
    "last_convolution": LastConvolutions,
    "all": WholeEncoders,
}


@register_head("mlp")
class PerceptronHead(Head):
    """``mlp(mix(gate, project(embeddings)))``, where the embeddings may come from experts that are trained as well.

    Args:
        cards: Of the experts.
        transform: Of the targets.
        settings: Of gate, projections, network and training.

    Raises:
        ValueError: When the experts cannot be trained as the settings ask, or not together.
    """

    Settings = PerceptronSettings
    weighs = True
    settings: PerceptronSettings
    tunes: Tensor

    def __init__(self, cards: Sequence[ExpertCard], transform: TargetTransform, settings: PerceptronSettings) -> None:
        super().__init__(cards, transform, settings)
        experts = [build_expert(card) for card in cards] if settings.trainable != "none" else []
        self.projections = Projections(self.dims, width=settings.width)
        width, n_gates = self.projections.width, settings.n_gates
        self.gate = build_gate(
            settings.gate,
            len(self.dims),
            width,
            n_gates=n_gates,
            top_k=settings.top_k,
            temperature=settings.temperature,
        )
        self.network = mlp(
            n_gates * width,
            len(transform.mean),
            hidden=settings.hidden,
            activation=settings.activation,
            dropout=settings.dropout,
        )
        if experts:
            self.tuned = TUNED[settings.trainable](experts)
        # Part of the state: a checkpoint of the time before is used as it was then.
        self.register_buffer("tunes", torch.tensor(False))

    def fit_constants(self, train: Batch) -> None:
        """Set the scales of the projections."""
        self.projections.fit(train.embeddings)

    def project(self, batch: Batch) -> Tensor:
        """Projected embeddings ``[n, n_experts, width]``, of trained experts where there are any."""
        embeddings = batch.embeddings
        if self.tuned is not None and batch.partial is not None and self.tunes:
            # An expert outside the top k has weight 0; its untuned embedding tells well enough if it should return.
            partial = batch.partial if self.tuned.device == embeddings.device else batch.partial.to(self.tuned.device)
            tuned = self.tuned(partial, self.gate.chosen())
            untuned = embeddings.split(self.projections.dims, dim=1)
            embeddings = torch.cat(
                [tuned.get(index, values).to(values.device) for index, values in enumerate(untuned)], dim=1
            )
        return self.projections(embeddings)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding ``[n, n_gates * width]`` and gate weights ``[n, n_gates, n_experts]``."""
        projected = self.project(batch)
        weights = self.gate(projected)
        return mix(weights, projected), weights

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        return self.transform.inverse(self.network(self.embed(batch)[0]))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of one batch with and without the gate's penalties."""
        assert batch.targets is not None
        mixed, weights = self.embed(batch)
        plain = loss = masked_loss(
            self.settings.loss, self.network(mixed), self.transform(batch.targets), batch.weights
        )
        if self.settings.orthogonality:
            loss = loss + self.settings.orthogonality * orthogonality(weights)
        if self.settings.load_balance:
            loss = loss + self.settings.load_balance * imbalance(weights)
        return loss, plain

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with a rate of its own for each part."""
        settings = self.settings
        logits, *of_crystal = self.gate.parameters()
        groups: list[dict[str, Any]] = [
            {"params": [*self.projections.parameters(), *self.network.parameters(), *of_crystal]},
            # Decay would pull the gate towards equal weights whatever the data say.
            {"params": [logits], "lr": settings.gate_learning_rate, "weight_decay": 0.0},
        ]
        if self.tuned is not None:
            rate = settings.tuning_rate
            groups.append({"params": self.tuned.parameters(), "lr": rate, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)

    def before_epoch(self, epoch: int) -> bool:
        """Begin to train the experts when it is their time; whether it is."""
        self.tunes.fill_(self.tuned is not None and epoch >= self.settings.tune_from_epoch)
        return bool(self.tunes)
