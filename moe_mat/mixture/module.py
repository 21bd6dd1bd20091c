"""The LightningModule: a gate over frozen experts and a head, trained in one run."""

from __future__ import annotations

from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

from moe_mat.mixture.crystal_inputs import Trainable
from moe_mat.mixture.data import Batch, EmbeddingDataModule
from moe_mat.mixture.gate import Gate
from moe_mat.mixture.heads.finetune import FineTunedMixture
from moe_mat.mixture.heads.kernel import KernelMixture
from moe_mat.mixture.heads.perceptron import NetworkMixture
from moe_mat.mixture.transforms import TargetTransform, Transform
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.experts import build_expert
from moe_mat.zoo.find import find_cards


class MixtureOfExperts(pl.LightningModule):
    """A gate over frozen experts, and a head on the mixed embedding.

    The defaults are ours. ``configs/published.yaml`` has those of Chang et al., npj Comput. Mater. 8, 242 (2022).

    Args:
        experts: Tags, patterns, folders of cards, or ``default``.
        targets: Names of the target columns; set by the data.
        head: ``kernel`` (Gaussian process and support vector machine on the gated distance) or
            ``mlp`` (multilayer perceptron on the mixed embedding).
        gate: ``global`` (one weight an expert) or, for ``mlp``, ``crystal`` (weights that depend on the crystal).
        n_gates: Number of gates; their mixtures are concatenated, or their kernels added.
        top_k: Number of experts that each gate uses; ``null`` for all.
        temperature: Of the gate's softmax.
        gate_learning_rate: Of the gate, whose logits have further to go than the weights of a layer.
        transform: What the head learns of the target: ``auto``, ``none``, ``standardise``, ``log`` or ``asinh``.
        width: For ``mlp``: common width of the projected embeddings; ``null`` standardises them and projects nothing.
        orthogonality: For ``mlp``: strength of the penalty on gates that choose alike.
        load_balance: For ``mlp``: strength of the penalty on experts that are left unused.
        hidden: For ``mlp``: widths of the hidden layers.
        activation: For ``mlp``: ``relu``, ``silu``, ``softplus`` or ``tanh``.
        dropout: For ``mlp``.
        loss: For ``mlp``: ``mse``, ``mae`` or ``huber``, on the transformed target.
        learning_rate: For ``mlp``: of projections and head.
        weight_decay: For ``mlp``: of AdamW; 0 makes it Adam.
        trainable: ``none``, or for ``mlp`` ``last_convolution`` to fine-tune that of every expert, all of them CGCNNs,
            or ``all`` to fine-tune whole encoders, see `moe_mat.mixture.heads.finetune`.
        last_convolution_rate: Learning rate of these convolutions or encoders.
        tune_from_epoch: Epoch from which on they are trained; until then gate and head learn on the frozen embeddings,
            which costs next to nothing.
        initial_gate: Tag to weight, such as those that ``moe-mat compose`` finds; experts that are not named get none.
        frozen_gate: Whether the gate keeps these weights.

    Raises:
        CardError: When a name finds no expert.
        ValueError: When settings contradict each other.
    """

    def __init__(
        self,
        experts: str | list[str] = "default",
        targets: list[str] = ["target"],  # noqa: B006 - never changed; a list is what a YAML file holds
        *,
        head: Literal["kernel", "mlp"] = "kernel",
        gate: Literal["global", "crystal"] = "global",
        n_gates: int = 2,
        top_k: int | None = None,
        temperature: float = 1.0,
        gate_learning_rate: float = 0.15,
        transform: Transform = "auto",
        width: int | None = 64,
        orthogonality: float = 0.01,
        load_balance: float = 0.0,
        hidden: list[int] = [64, 64],  # noqa: B006
        activation: str = "silu",
        dropout: float = 0.1,
        loss: Literal["mse", "mae", "huber"] = "huber",
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        trainable: Trainable = "none",
        last_convolution_rate: float = 5e-3,
        tune_from_epoch: int = 0,
        initial_gate: dict[str, float] | None = None,
        frozen_gate: bool = False,
    ) -> None:
        super().__init__()
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.cards = find_cards(experts)
        # Names instead of patterns, so that a checkpoint does not change its meaning when an expert is added.
        self.save_hyperparameters({**settings, "experts": [card.reference for card in self.cards]})
        dims = [card.dim for card in self.cards]
        self.transform = TargetTransform(transform, len(targets))
        if head == "kernel":
            if gate != "global" or trainable != "none":
                raise ValueError(f"gate 'crystal' and trainable '{trainable}' need head 'mlp'")
            self.mixture: KernelMixture | NetworkMixture = KernelMixture(dims, self.transform, settings)
        elif trainable == "all":
            experts_of_own = [build_expert(card) for card in self.cards]
            self.mixture = FineTunedMixture(dims, self.transform, settings, experts=experts_of_own)
        else:
            tuned = [build_expert(card) for card in self.cards] if trainable == "last_convolution" else []
            self.mixture = NetworkMixture(dims, self.transform, settings, tuned=tuned)
        self._start_gates(initial_gate, frozen=frozen_gate)
        self.val_metrics, self.test_metrics = (
            nn.ModuleList(_metrics(stage, f"/{target}" if len(targets) > 1 else "") for target in targets)
            for stage in ("val", "test")
        )

    def _start_gates(self, weights: dict[str, float] | None, *, frozen: bool) -> None:
        if weights is None:
            if frozen:
                raise ValueError("frozen_gate needs initial_gate, the weights that it keeps")
            return
        tags = [card.tag for card in self.cards]
        if unknown := sorted(set(weights) - set(tags)):
            raise ValueError(f"initial_gate names {', '.join(unknown)}, but the experts are {', '.join(tags)}")
        values = torch.tensor([weights.get(tag, 0.0) for tag in tags], dtype=torch.float64)
        if not (values.isfinite().all() and (values >= 0).all() and values.sum() > 0):
            raise ValueError("initial_gate needs weights that are not negative, at least one of them positive")
        for gate in self.mixture.modules():
            if isinstance(gate, Gate):
                gate.start_at(values, frozen=frozen)

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        return self.mixture(batch)

    def setup(self, stage: str) -> None:
        """Set the constants from the training rows, before anything is restored from a checkpoint."""
        if stage != "fit":
            return
        self.seed = torch.initial_seed() % 2**31
        data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
        train = data.part("train")
        assert train.targets is not None
        if self.mixture.full_batch:
            data.batch_size = max(data.batch_size, len(train.ids))
        self.transform.fit(train.targets)
        self.mixture.prepare(train.embeddings, train.targets)

    def on_train_epoch_start(self) -> None:  # noqa: D102
        data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
        data.needs_partial = self.mixture.before_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the randomness of a step depend on seed and step alone, so that a resumed run repeats it."""
        torch.manual_seed(self.seed + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: D102
        loss, shown = self.mixture.loss(batch)
        self.log("train_loss", shown, on_step=False, on_epoch=True, batch_size=len(batch.ids))
        return loss

    def on_validation_epoch_start(self) -> None:  # noqa: D102
        if self.trainer.state.fn == "fit":
            self.mixture.before_validation()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._update(self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._update(self.test_metrics, batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: D102
        return self(batch)

    def on_validation_epoch_end(self) -> None:  # noqa: D102
        self._log("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:  # noqa: D102
        self._log("test", self.test_metrics)

    def _update(self, metrics: nn.ModuleList, batch: Batch) -> None:
        assert batch.targets is not None
        predicted = self(batch)
        for column, collection in enumerate(metrics):
            present = batch.targets[:, column].isfinite()
            cast(MetricCollection, collection).update(predicted[present, column], batch.targets[present, column])

    def _log(self, stage: str, metrics: nn.ModuleList) -> None:
        maes = []
        for column, collection in enumerate(metrics):
            collection = cast(MetricCollection, collection)
            n = int(cast(Any, collection["mae"]).total)
            if n == 0:
                continue
            # A single value has no spread that R2 could compare with.
            values = {
                name: metric.compute()
                for name, metric in collection.items()
                if n > 1 or not name.startswith(f"{stage}_r2")
            }
            collection.reset()
            self.log_dict(values)
            mae = next(value for name, value in values.items() if name.startswith(f"{stage}_mae"))
            maes.append(mae if len(metrics) == 1 else mae / self.transform.spread[column])
        if len(metrics) > 1 and maes:
            # Several targets have several units: what is selected on is the mean MAE in units of the training spread.
            self.log(f"{stage}_mae", torch.stack(maes).mean())

    def configure_optimizers(self) -> Any:  # noqa: D102
        optimizer = self.mixture.optimizer()
        epochs = max(1, self.trainer.max_epochs or 1)
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which experts the gate was trained on."""
        checkpoint["expert_digests"] = {card.tag: card.digest for card in self.cards}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose experts have changed since.

        Raises:
            CardError: Names the experts.
        """
        noted = checkpoint.get("expert_digests", {})
        changed = [card.tag for card in self.cards if noted.get(card.tag) != card.digest]
        if changed:
            raise CardError(
                f"the checkpoint was trained on other versions of these experts: {', '.join(changed)}; "
                "restore their cards and weights, or fit again"
            )


def _metrics(stage: str, postfix: str) -> MetricCollection:
    metrics: Any = {"mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False), "r2": R2Score()}
    return MetricCollection(metrics, prefix=f"{stage}_", postfix=postfix, compute_groups=False)


def gate_weights(model: MixtureOfExperts, embeddings: Tensor) -> dict[str, float]:
    """Weight of each expert, the mean over gates and crystals; sums to 1.

    Args:
        model: A mixture.
        embeddings: Embeddings of the crystals to average over ``[n, sum(dims)]``.
    """
    model.eval()
    with torch.no_grad():
        weights = model.mixture.embed(Batch(embeddings, None, []))[1].mean((0, 1)).double()
    return dict(zip((card.tag for card in model.cards), (weights / weights.sum()).tolist(), strict=True))
