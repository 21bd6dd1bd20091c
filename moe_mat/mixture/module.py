"""The LightningModule: a gate over frozen experts and a head, trained in one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

from moe_mat.encoders import choose_device
from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.checkpoints import FINISHED, LEARNED
from moe_mat.mixture.class_probabilities import ClassProbabilities
from moe_mat.mixture.composition_range import CompositionRange
from moe_mat.mixture.data_digest import DataDigest
from moe_mat.mixture.domain import Domain
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.heads.base import get_head
from moe_mat.mixture.heads.choice import settled
from moe_mat.mixture.intervals import Intervals
from moe_mat.mixture.learned_crystals import LearnedCrystals
from moe_mat.mixture.outcome import Outcome
from moe_mat.mixture.predicted import HeldOut, Said
from moe_mat.mixture.settings import MixtureSettings, column_names, settings_of_head
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.find import find_cards

MONITORED = "val_mae"


class MixtureOfExperts(pl.LightningModule):
    """A gate over frozen experts, and a head on the mixed embedding.

    The defaults are ours. ``configs/published.yaml`` has those of Chang et al., npj Comput. Mater. 8, 242 (2022).

    Args:
        given: Experts, targets, gate and head: the fields of `moe_mat.mixture.MixtureSettings` by name.

    Raises:
        CardError: When a name finds no expert.
        ValueError: When there is no such head, or settings contradict each other.

    Example:
        >>> MixtureOfExperts(experts="magpie", head="mlp", hidden=(8,)).head.settings.hidden
        (8,)
    """

    # Which crystals distances are measured from; not known to models of older versions.
    learned: LearnedCrystals | None = None

    def __init__(self, **given: Any) -> None:
        super().__init__()
        settings = settled(MixtureSettings(**given))
        self.cards = find_cards(settings.experts)
        # Names instead of patterns, so that a checkpoint does not change its meaning when an expert is added.
        self.save_hyperparameters({**asdict(settings), "experts": [card.reference for card in self.cards]})
        self.classes, columns = settings.classes, column_names(settings.targets, settings.classes)
        self.transform = TargetTransform("indicator" if self.classes else settings.target_transform, columns)
        head = get_head(settings.head)
        self.head = head(self.cards, self.transform, settings_of_head(head.Settings, settings))
        self.head.start_gates([card.tag for card in self.cards])
        self.intervals = Intervals(len(columns))
        self.probabilities = ClassProbabilities(len(self.classes)) if self.classes else None
        self.composition_range = CompositionRange(self.cards)
        self.domains = nn.ModuleList(Domain() for _ in columns)
        self.held_out: HeldOut | None = None
        self.data_digest: DataDigest | None = None
        self.outcome: Outcome | None = None
        self.val_metrics, self.test_metrics = (
            nn.ModuleList(_metrics(stage, f"/{column}" if len(columns) > 1 else "") for column in columns)
            for stage in ("val", "test")
        )

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        return self.head(batch)

    def columns_of(self, target: int) -> list[int]:
        """The columns of the head that belong to a target: its own, or of a class those of `column_names`."""
        return list(range(len(self.domains))) if self.classes else [target]

    def calibrate(self, held_out: HeldOut) -> None:
        """Learn how far to trust predictions from what was said of crystals that the model had not learned from."""
        self.held_out = held_out
        self.intervals.fit(held_out)
        if self.probabilities is not None:
            self.probabilities.fit(held_out)

    def measure_from(self, learned_from: Iterable[Batch]) -> None:
        """Measure how far crystals are away from these, which the model has learned from."""
        self.composition_range.fit(batch.embeddings for batch in learned_from)
        for domain, distances in zip(self.domains, self.head.remember(learned_from), strict=True):
            cast(Domain, domain).fit(distances)

    def say(self, batch: Batch) -> Said:
        """Predict crystals, with all that tells how far to trust it."""
        predicted = self.head.predict(batch)
        of_targets = zip(self.domains, predicted.distances.unbind(1), strict=True)
        percentiles = [cast(Domain, domain).percentile(distances) for domain, distances in of_targets]
        beyond = self.composition_range.beyond(batch.embeddings)
        together = torch.stack(percentiles, dim=1)
        return Said(predicted, together.mean(1, keepdim=True) if self.classes else together, beyond)

    def setup(self, stage: str) -> None:
        """Set the constants from the training rows, before anything is restored from a checkpoint."""
        if stage != "fit":
            return
        self.seed = torch.initial_seed() % 2**31
        data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
        train = data.part("train", by_rows=self.head.by_rows)
        assert train.targets is not None
        if self.head.full_batch:
            data.batch_size = max(data.batch_size, len(train.ids))
        if self.head.one_step:
            self.trainer.limit_train_batches = 1
        if data.weights is not None and not self.head.weighs:
            raise ValueError(f"head {self.head.name} does not know weights: leave them out, or take another head")
        self.data_digest, self.outcome = data.digest, None
        self.transform.fit(train.targets)
        self.head.seed = self.seed
        self.head.fit_constants(train)

    def on_train_epoch_start(self) -> None:  # noqa: D102
        data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
        data.needs_partial = self.head.before_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the randomness of a step depend on seed and step alone, so that a resumed run repeats it."""
        torch.manual_seed(self.seed + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: D102
        loss, shown = self.head.loss(batch)
        self.log("train_loss", shown, on_step=False, on_epoch=True, batch_size=len(batch.ids))
        return loss

    def on_validation_epoch_start(self) -> None:  # noqa: D102
        if self.trainer.state.fn == "fit":
            self.head.before_validation()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._update(self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: D102
        self._update(self.test_metrics, batch)

    def on_predict_start(self) -> None:
        """Have what is trained of the experts where the data want it; all else is on the CPU."""
        data = cast(EmbeddingDataModule, cast(Any, self.trainer).datamodule)
        self._predicting = ExitStack()
        self._predicting.enter_context(self.head.tuned_on(choose_device(data.device)))

    def on_predict_end(self) -> None:  # noqa: D102
        self._predicting.close()

    def predict_step(self, batch: Batch, batch_idx: int) -> Said:  # noqa: D102
        return self.say(batch)

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
        maes, rmses = [], []
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
            rmses.append(next(value for name, value in values.items() if name.startswith(f"{stage}_rmse")))
        if len(metrics) > 1 and maes:
            # Several targets have several units: what is selected on is the mean MAE in units of the training spread.
            self.log(f"{stage}_mae", torch.stack(maes).mean())
            if self.classes:
                self.log(f"{stage}_rmse", torch.stack(rmses).square().mean().sqrt())

    @property
    def monitored(self) -> str:
        """The validation metric that chooses the epoch: of the scores of classes the root of the Brier score."""
        return "val_rmse" if self.classes else MONITORED

    def configure_optimizers(self) -> Any:  # noqa: D102
        optimizer = self.head.optimizer()
        epochs = max(1, self.trainer.max_epochs or 1)
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the experts, the data, and, of a finished model, what it has learned from."""
        checkpoint["expert_digests"] = {card.tag: card.digest for card in self.cards}
        checkpoint["data"] = None if self.data_digest is None else asdict(self.data_digest)
        checkpoint[FINISHED] = None if self.outcome is None else self.outcome.to_dict()
        checkpoint[LEARNED] = None if self.learned is None else self.learned.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose experts have changed since, or that does not fit what is to be done with it.

        Raises:
            CardError: Names the experts.
            ValueError: When a training would go on with other data, or an unfinished model is to be used.
        """
        self._check_experts(checkpoint.get("expert_digests", {}))
        data, finished = checkpoint.get("data"), checkpoint.get(FINISHED)
        noted = None if data is None else DataDigest(**data)
        task = None if self._trainer is None else self._trainer.state.fn
        if task == "fit" and noted is not None and self.data_digest is not None:
            if difference := noted.difference(self.data_digest, weights=True):
                raise ValueError(
                    f"the checkpoint is of a training on {difference}: go on with the data and split of its run, which "
                    "its config.yaml names, or train anew without the checkpoint"
                )
        elif task is not None and finished is None:
            raise ValueError("the checkpoint is of a training that is not finished: go on with it by fit")
        if task != "fit":
            self.data_digest, self.outcome = noted, None if finished is None else Outcome.of_dict(finished)
            learned = checkpoint.get(LEARNED)  # older ones have no names
            self.learned = None if learned is None else LearnedCrystals.of_dict(learned)

    def _check_experts(self, noted: Mapping[str, str]) -> None:
        present = {card.tag: card.digest for card in self.cards}
        if list(noted.items()) == list(present.items()):
            return
        changed = [tag for tag in noted if tag in present and noted[tag] != present[tag]]
        if changed:
            raise CardError(
                f"the checkpoint was trained on other versions of these experts: {', '.join(changed)}; "
                "restore their cards and weights, or fit again"
            )
        raise CardError(
            f"the checkpoint was trained on the experts {', '.join(noted)}, in this order, and not on "
            f"{', '.join(present)}: name the same ones"
        )


def _metrics(stage: str, postfix: str) -> MetricCollection:
    metrics: Any = {"mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False), "r2": R2Score()}
    return MetricCollection(metrics, prefix=f"{stage}_", postfix=postfix, compute_groups=False)


def gate_weights(model: MixtureOfExperts, embeddings: Tensor, rows: Tensor | None = None) -> dict[str, float]:
    """Weight of each expert, the mean over gates and crystals; sums to 1.

    Args:
        model: A mixture.
        embeddings: Embeddings of crystals ``[n, sum(dims)]``.
        rows: Of those to average over; ``None`` for all.
    """
    model.eval()
    rows = torch.arange(len(embeddings)) if rows is None else rows
    with torch.no_grad():
        shares = [
            (len(some) / len(rows), model.head.embed(Batch(embeddings[some], None, []))[1])
            for some in rows.split(AT_ONCE)
        ]
        weights = torch.stack([share * of_part.mean((0, 1)).double() for share, of_part in shares]).sum(0)
    return dict(zip((card.tag for card in model.cards), (weights / weights.sum()).tolist(), strict=True))
