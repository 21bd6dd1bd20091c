"""Training on source data: masked targets, a one-cycle schedule, and runs that survive a kill."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar, Timer
from torch import Tensor, nn

from moe_mat.mixture.checkpoints import RunCheckpoints, read_intact_checkpoint
from moe_mat.mixture.resumed_callbacks import ResumedCheckpoint, ResumedEarlyStopping
from moe_mat.mixture.run_logger import RunLogger
from moe_mat.pretrain.batches import SourceBatch, SourceBatches
from moe_mat.pretrain.processes import new_trainer
from moe_mat.pretrain.settings import Training
from moe_mat.zoo.weights import WeightsError

logger = logging.getLogger(__name__)

# A target with few values weighs more than its share, but not without end.
SMALLEST_COVERAGE = 0.02


class SourceModule(pl.LightningModule, ABC):
    """What all trainings on source data have in common.

    Loss: absolute error of the standardised targets, missing values masked, each target weighted by one over the square
    root of the share of crystals that have a value.

    Args:
        targets: Transformed targets of the training rows ``[n, n_targets]``, NaN where there is no value.
        training: Learning rate and weight decay.
        seed: Of everything random during training; a step depends on it and on its own number alone, so that a resumed
            run repeats what an uninterrupted one does.
    """

    target_mean: Tensor
    target_std: Tensor
    target_weight: Tensor

    def __init__(self, targets: Tensor, training: Training, *, seed: int) -> None:
        super().__init__()
        self.training_settings, self.seed = training, seed
        present = targets.isfinite()
        count = present.sum(0)
        mean = targets.nanmean(0)
        variance = (torch.where(present, targets, mean) - mean).square().sum(0) / count
        self.register_buffer("target_mean", mean.float())
        self.register_buffer("target_std", variance.sqrt().clamp_min(1e-6).float())
        coverage = (count / len(targets)).clamp_min(SMALLEST_COVERAGE)
        self.register_buffer("target_weight", coverage.rsqrt().float())

    @abstractmethod
    def forward(self, inputs: Any) -> Tensor:
        """Standardised, transformed targets ``[n, n_targets]`` of a batch of crystals."""

    def predict_transformed(self, inputs: Any) -> Tensor:
        """Transformed targets ``[n, n_targets]``."""
        return self(inputs) * self.target_std + self.target_mean

    def _errors(self, batch: SourceBatch) -> tuple[Tensor, Tensor]:
        inputs, targets, _ = batch
        present = targets.isfinite()
        standardised = (targets.nan_to_num() - self.target_mean) / self.target_std
        return (self(inputs) - standardised).abs() * present, present

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout depend on seed, step and process alone."""
        torch.manual_seed((self.seed << 40) + (self.global_rank << 32) + self.global_step)

    def training_step(self, batch: SourceBatch, batch_idx: int) -> Tensor:  # noqa: D102
        errors, _ = self._errors(batch)
        loss = (errors.mean(0) * self.target_weight).mean() * batch.weight
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(errors), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:  # noqa: D102
        self._sums = torch.zeros(2, len(self.target_mean), dtype=torch.float64)

    def validation_step(self, batch: SourceBatch, batch_idx: int) -> None:  # noqa: D102
        with torch.autocast(self.device.type, enabled=False):  # in the precision of the experts
            errors, present = self._errors(batch)
        self._sums += torch.stack([errors.sum(0), present.sum(0)]).cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the mean over targets of the standardised error; every process sees all validation rows."""
        total, count = self._sums
        self.log("val_loss", (total / count).mean().float(), prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, with a one-cycle schedule over all steps."""
        settings = self.training_settings
        optimizer = torch.optim.AdamW(self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            settings.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches) + 1,
            pct_start=0.2,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _EpochLog(Callback):
    """One line an epoch: what a training in the background is followed by."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            losses = ", ".join(f"{k} {trainer.callback_metrics[k]:.4f}" for k in ("train_loss", "val_loss"))
            epoch, seconds = trainer.current_epoch + 1, time.monotonic() - self.start
            logger.info("%s: epoch %d/%s, %s, %.0f s", self.name, epoch, trainer.max_epochs, losses, seconds)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a training leaves beside its weights.

    Attributes:
        epochs: Number of epochs trained.
        best_epoch: Counted from 1.
        seconds: In the training loop, interruptions not counted.
        is_main: False in the other processes of a distributed training.
    """

    epochs: int
    best_epoch: int
    seconds: float
    is_main: bool


def fit_source_module(
    module: SourceModule,
    data: SourceBatches,
    *,
    folder: Path,
    name: str,
    options: Mapping[str, object] | None = None,
) -> FinishedRun:
    """Train in place, going on where an interrupted run in the same folder ended, and keep the best validation epoch.

    Afterwards the parameters have the precision in which they are stored, so that what is scored is what is shipped.

    Args:
        module: A new module.
        data: Its data.
        folder: Of checkpoints and log.
        name: Of the run, for messages.
        options: Arguments of Lightning's Trainer that replace the defaults; ``callbacks`` are added.

    Raises:
        ValueError: When an option is not one of the Trainer's.
        WeightsError: When a checkpoint in the folder is damaged.
    """
    timer = Timer()
    best_epoch = ResumedCheckpoint(
        folder, filename="best", monitor="val_loss", mode="min", enable_version_counter=False
    )
    # save_last would only follow the best epoch
    every_epoch = ResumedCheckpoint(folder, filename="last", enable_version_counter=False)
    callbacks = [timer, _EpochLog(name), best_epoch, every_epoch]
    trainer = _trainer(module.training_settings, callbacks, folder=folder, options=options or {})
    last = folder / "last.ckpt"
    if last.exists():
        _read(last)  # or Lightning would go on from damaged numbers
        logger.info("%s: going on from %s", name, last)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    best = _read(Path(best_epoch.best_model_path))
    module.cpu().load_state_dict(best["state_dict"])
    module.eval()
    round_parameters(module)
    return FinishedRun(
        epochs=trainer.current_epoch,
        best_epoch=best["epoch"] + 1,
        seconds=timer.time_elapsed("train"),
        is_main=trainer.is_global_zero,
    )


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        return read_intact_checkpoint(checkpoint)
    except WeightsError as error:
        raise WeightsError(f"{error}; without the folder {checkpoint.parent} the training begins anew") from error


def _trainer(
    settings: Training, callbacks: Sequence[Callback], *, folder: Path, options: Mapping[str, object]
) -> pl.Trainer:
    added: dict[str, Any] = dict(options)
    # Lightning runs checkpoints last, whatever their place in the list.
    every: list[Callback] = [*callbacks, *added.pop("callbacks", [])]
    if settings.patience is not None:
        every.append(ResumedEarlyStopping("val_loss", mode="min", patience=settings.patience))
    show_bar = sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)
    if show_bar:
        every.append(RichProgressBar(leave=False))
    defaults: dict[str, Any] = {
        "max_epochs": settings.max_epochs,
        "accelerator": "auto",
        "logger": RunLogger(folder, name="log"),
        "enable_progress_bar": show_bar,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,  # all is logged by epoch; more than an epoch has would be a warning
        "use_distributed_sampler": False,  # the data know of the processes
        # Statistics of a whole batch, and not of each process's share; torch has this for GPUs alone.
        "sync_batchnorm": added.get("accelerator") in ("cuda", "gpu"),
        "precision": settings.precision,
    }
    added["plugins"] = [*added.get("plugins", []), RunCheckpoints()]
    return new_trainer({**defaults, **added, "callbacks": every})


def round_parameters(module: nn.Module) -> None:
    """Give all trained parameters the precision of float16, in which they are stored; all else stays as it is."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.half())
