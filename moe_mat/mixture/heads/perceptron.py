"""The mixture with a neural head: projections, gate and multilayer perceptron, trained by batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moe_mat.mixture.data import Batch
from moe_mat.mixture.gate import build_gate, imbalance, mix, orthogonality
from moe_mat.mixture.heads.last_convolution import LastConvolutions
from moe_mat.mixture.heads.mlp import masked_loss, mlp
from moe_mat.mixture.heads.projection import Projections
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.experts import Expert


class NetworkMixture(nn.Module):
    """``head(mix(gate, project(embeddings)))``.

    Args:
        dims: Widths of the experts' embeddings.
        transform: Of the targets.
        settings: The arguments of `moe_mat.mixture.module.MixtureOfExperts`.
        tuned: Experts whose last convolution is trained, or none.
    """

    full_batch = False
    tunes: Tensor

    def __init__(
        self, dims: Sequence[int], transform: TargetTransform, settings: dict[str, Any], *, tuned: Sequence[Expert] = ()
    ) -> None:
        super().__init__()
        self.settings = settings
        self.transform = transform
        self.tried: list[dict[str, Any]] = []  # its settings are given, not chosen
        self.projections = Projections(dims, width=settings["width"])
        width, n_gates = self.projections.width, settings["n_gates"]
        self.gate = build_gate(
            settings["gate"],
            len(dims),
            width,
            n_gates=n_gates,
            top_k=settings["top_k"],
            temperature=settings["temperature"],
        )
        self.head = mlp(
            n_gates * width,
            len(transform.mean),
            hidden=settings["hidden"],
            activation=settings["activation"],
            dropout=settings["dropout"],
        )
        self.tail = LastConvolutions(tuned) if tuned else None
        # Part of the state: a checkpoint of the time before is used as it was then.
        self.register_buffer("tunes", torch.tensor(False))

    def prepare(self, embeddings: Tensor, targets: Tensor) -> None:
        """Set the constants from the training rows."""
        self.projections.fit(embeddings)

    def project(self, batch: Batch) -> Tensor:
        """Projected embeddings ``[n, n_experts, width]``, with fine-tuned last convolutions where there are any."""
        embeddings = batch.embeddings
        if self.tail is not None and batch.partial is not None and self.tunes:
            # An expert outside the top k has weight 0; its untuned embedding tells well enough if it should return.
            tuned = self.tail(batch.partial, self.gate.chosen())
            untuned = embeddings.split(self.projections.dims, dim=1)
            embeddings = torch.cat([tuned.get(index, values) for index, values in enumerate(untuned)], dim=1)
        return self.projections(embeddings)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding ``[n, n_gates * width]`` and gate weights ``[n, n_gates, n_experts]``."""
        projected = self.project(batch)
        weights = self.gate(projected)
        return mix(weights, projected), weights

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        return self.transform.inverse(self.head(self.embed(batch)[0]))

    def std(self, batch: Batch) -> Tensor | None:
        """A single network does not know its error."""
        return None

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of one batch with and without the gate's penalties."""
        assert batch.targets is not None
        mixed, weights = self.embed(batch)
        plain = loss = masked_loss(self.settings["loss"], self.head(mixed), self.transform(batch.targets))
        if self.settings["orthogonality"]:
            loss = loss + self.settings["orthogonality"] * orthogonality(weights)
        if self.settings["load_balance"]:
            loss = loss + self.settings["load_balance"] * imbalance(weights)
        return loss, plain

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with a rate of its own for each part."""
        settings = self.settings
        logits, *of_crystal = self.gate.parameters()
        groups: list[dict[str, Any]] = [
            {"params": [*self.projections.parameters(), *self.head.parameters(), *of_crystal]},
            # Decay would pull the gate towards equal weights whatever the data say.
            {"params": [logits], "lr": settings["gate_learning_rate"], "weight_decay": 0.0},
        ]
        if self.tail is not None:
            rate = settings["last_convolution_rate"]
            groups.append({"params": self.tail.parameters(), "lr": rate, "weight_decay": 0.0})
        return torch.optim.AdamW(
            groups, lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
        )

    def before_epoch(self, epoch: int) -> bool:
        """Begin to train the last convolutions when it is their time; whether it is."""
        self.tunes.fill_(self.tail is not None and epoch >= self.settings["tune_from_epoch"])
        return bool(self.tunes)

    def before_validation(self) -> None:
        """Nothing to do: a network is always ready."""

    def finish(self, train: Batch, val: Batch) -> None:
        """Nothing to choose after training."""

    def refit(self, batch: Batch) -> None:
        """A network is not trained again: its best epoch was chosen on the validation rows."""
