"""The mixture: head(gate(project(embeddings))), trained in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

from moe_mat.cards import CardError, find_cards
from moe_mat.data import Batch, EmbeddingDataModule
from moe_mat.gate import build_gate, imbalance, mix, orthogonality
from moe_mat.heads import masked_loss, mlp
from moe_mat.last_convolution import LastConvolutions
from moe_mat.projection import Projections
from moe_mat.transforms import TargetTransform, Transform
from moe_mat.zoo import build_expert


class MixtureOfExperts(pl.LightningModule):
    """A gate over frozen experts and a head on the mixed embedding.

    The defaults are ours. ``configs/published.yaml`` has those of Chang et al., npj Comput. Mater. 8, 242 (2022).

    Args:
        experts: Tags, patterns, folders of cards, or ``default``.
        targets: Names of the target columns; set by the data.
        width: Common width of the projected embeddings; ``null`` mixes embeddings of equal width as they are.
        gate: ``global`` (one weight an expert) or ``crystal`` (weights that depend on the crystal).
        n_gates: Number of gates; their mixtures are concatenated.
        top_k: Number of experts that each gate uses; ``null`` for all.
        temperature: Of the gate's softmax.
        orthogonality: Strength of the penalty on gates that choose alike.
        load_balance: Strength of the penalty on experts that are left unused.
        hidden: Widths of the head's hidden layers.
        activation: Of the head: ``relu``, ``silu``, ``softplus`` or ``tanh``.
        dropout: In the head.
        transform: What the head learns: ``none``, ``standardise``, ``log`` or ``asinh`` of the target.
        loss: ``mse``, ``mae`` or ``huber``, on the transformed target.
        learning_rate: Of projections and head.
        gate_learning_rate: Of the gate, whose logits have further to go than the weights of a layer.
        weight_decay: Of AdamW; 0 makes it Adam.
        trainable: ``none``, or ``last_convolution`` to fine-tune that of every expert, all of them CGCNNs.
        last_convolution_rate: Learning rate of these convolutions.
    """

    def __init__(
        self,
        experts: list[str] = ["default"],  # noqa: B006 - never changed; a list is what a YAML file holds
        targets: list[str] = ["target"],  # noqa: B006
        *,
        width: int | None = 64,
        gate: Literal["global", "crystal"] = "global",
        n_gates: int = 1,
        top_k: int | None = None,
        temperature: float = 1.0,
        orthogonality: float = 0.01,
        load_balance: float = 0.0,
        hidden: list[int] = [64, 64],  # noqa: B006
        activation: str = "silu",
        dropout: float = 0.1,
        transform: Transform = "asinh",
        loss: Literal["mse", "mae", "huber"] = "huber",
        learning_rate: float = 3e-3,
        gate_learning_rate: float = 3e-2,
        weight_decay: float = 1e-2,
        trainable: Literal["none", "last_convolution"] = "none",
        last_convolution_rate: float = 5e-3,
    ) -> None:
        super().__init__()
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.cards = find_cards(experts)
        # Names instead of patterns, so that a checkpoint does not change its meaning when an expert is added.
        self.save_hyperparameters({**arguments, "experts": [card.reference for card in self.cards]})
        dims = [card.dim for card in self.cards]
        self.projections = Projections(dims, width=width)
        self.gate = build_gate(
            gate, len(dims), self.projections.width, n_gates=n_gates, top_k=top_k, temperature=temperature
        )
        self.head: nn.Module = mlp(
            n_gates * self.projections.width, len(targets), hidden=hidden, activation=activation, dropout=dropout
        )
        self.transform = TargetTransform(transform, len(targets))
        self.tail = LastConvolutions([build_expert(card) for card in self.cards]) if trainable == "last_convolution" else None
        self.metrics = nn.ModuleDict(
            {
                f"{stage}_metrics": nn.ModuleList(
                    MetricCollection(
                        {
                            "mae": MeanAbsoluteError(),
                            "rmse": MeanSquaredError(squared=False),
                            "r2": R2Score(),
                        },
                        prefix=f"{stage}_",
                        postfix="" if len(targets) == 1 else f"/{target}",
                    )
                    for target in targets
                )
                for stage in ("val", "test")
            }
        )

    # What the mixture computes

    def project(self, batch: Batch) -> Tensor:
        """Projected embeddings ``[batch, n_experts, width]``, with fine-tuned last convolutions where there are any."""
        embeddings = batch.embeddings
        if self.tail is not None and batch.partial is not None:
            # An expert outside the top k has weight 0; its untuned embedding is enough to tell whether it should return.
            tuned = self.tail(batch.partial, self.gate.chosen())
            untuned = embeddings.split(self.projections.dims, dim=1)
            embeddings = torch.cat([tuned.get(index, values) for index, values in enumerate(untuned)], dim=1)
        return self.projections(embeddings)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding ``[batch, n_gates * width]`` and gate weights ``[batch, n_gates, n_experts]``."""
        projected = self.project(batch)
        weights = self.gate(projected)
        return mix(weights, projected), weights

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[batch, n_targets]``."""
        return self.transform.inverse(self.head(self.embed(batch)[0]))

    # How it is trained

    def setup(self, stage: str) -> None:
        """Set the constants of the transforms from the training rows, before anything is restored from a checkpoint."""
        if stage == "fit":
            self.seed = torch.initial_seed() % 2**31
            data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
            self.projections.fit(data.embeddings[data.rows["train"]])
            self.transform.fit(data.targets[data.rows["train"]])

    def on_train_epoch_start(self) -> None:
        """Make the randomness of an epoch depend on seed and epoch alone, so that a resumed run repeats it."""
        torch.manual_seed(self.seed + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: D102
        assert batch.targets is not None
        mixed, weights = self.embed(batch)
        loss = masked_loss(self.hparams["loss"], self.head(mixed), self.transform(batch.targets))
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(mixed))
        if self.hparams["orthogonality"]:
            loss = loss + self.hparams["orthogonality"] * orthogonality(weights)
        if self.hparams["load_balance"]:
            loss = loss + self.hparams["load_balance"] * imbalance(weights)
        return loss

    def _evaluate(self, batch: Batch, stage: str) -> None:
        assert batch.targets is not None
        predicted = self(batch)
        for column, metrics in enumerate(cast(nn.ModuleList, self.metrics[f"{stage}_metrics"])):
            present = batch.targets[:, column].isfinite()
            cast(MetricCollection, metrics).update(predicted[present, column], batch.targets[present, column])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: D102
        return self(batch)

    def on_validation_epoch_end(self) -> None:  # noqa: D102
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:  # noqa: D102
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        maes = []
        for column, metrics in enumerate(cast(nn.ModuleList, self.metrics[f"{stage}_metrics"])):
            collection = cast(MetricCollection, metrics)
            seen = int(collection["r2"].total)
            if seen < 2:  # R2 has no meaning for one row
                continue
            values = collection.compute()
            collection.reset()
            self.log_dict(values)
            spread = 1.0 if len(self.metrics[f"{stage}_metrics"]) == 1 else self.transform.spread[column]
            maes.append(next(value for name, value in values.items() if "_mae" in name) / spread)
        if len(self.metrics[f"{stage}_metrics"]) > 1 and maes:
            # Several targets have several units: what is selected on is the mean MAE in units of the training spread.
            self.log(f"{stage}_mae", torch.stack(maes).mean())

    def configure_optimizers(self) -> Any:  # noqa: D102
        groups: list[dict[str, Any]] = [
            {"params": [*self.projections.parameters(), *self.head.parameters()]},
            # Decay would pull the gate towards equal weights whatever the data say.
            {"params": self.gate.parameters(), "lr": self.hparams["gate_learning_rate"], "weight_decay": 0.0},
        ]
        if self.tail is not None:
            rate = self.hparams["last_convolution_rate"]
            groups.append({"params": self.tail.parameters(), "lr": rate, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW(
            groups, lr=self.hparams["learning_rate"], weight_decay=self.hparams["weight_decay"], fused=True
        )
        epochs = self.trainer.max_epochs or 1
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, epochs)),
        }

    # What a checkpoint remembers

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which experts the gate was trained on."""
        checkpoint["expert_fingerprints"] = {card.tag: card.fingerprint for card in self.cards}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose experts have changed since.

        Raises:
            CardError: Names the experts.
        """
        noted = checkpoint.get("expert_fingerprints", {})
        changed = [card.tag for card in self.cards if noted.get(card.tag) != card.fingerprint]
        if changed:
            raise CardError(
                f"the checkpoint was trained on other versions of these experts: {', '.join(changed)}; "
                "restore their cards and weights, or fit again"
            )


def gate_weights(model: MixtureOfExperts, embeddings: Tensor) -> dict[str, float]:
    """Weight of each expert, the mean over gates and crystals; sums to 1.

    Args:
        model: A mixture.
        embeddings: Embeddings of the crystals to average over ``[n, sum(dims)]``.
    """
    model.eval()
    with torch.no_grad():
        weights = model.embed(Batch(embeddings, None, []))[1].mean((0, 1)).double()
    return dict(zip((card.tag for card in model.cards), (weights / weights.sum()).tolist(), strict=True))


def expert_dims(experts: Sequence[str]) -> dict[str, int]:
    """Tags and embedding widths of the experts that names stand for."""
    return {card.tag: card.dim for card in find_cards(experts)}
