"""Training on source data: masked targets, packed batches, a one-cycle schedule, and runs that survive a kill."""

from __future__ import annotations

import logging
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar, Timer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from moe_mat.source_recipes import Training

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
        seed: Of everything random during training; an epoch depends on it and on its own number alone, so that a
            resumed run repeats what an uninterrupted one does.
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

    def _errors(self, batch: tuple[Any, Tensor]) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        present = targets.isfinite()
        standardised = (targets.nan_to_num() - self.target_mean) / self.target_std
        return (self(inputs) - standardised).abs() * present, present

    def on_train_epoch_start(self) -> None:  # noqa: D102
        torch.manual_seed((self.seed << 32) + (self.current_epoch << 12) + self.global_rank)

    def training_step(self, batch: tuple[Any, Tensor], batch_idx: int) -> Tensor:  # noqa: D102
        errors, _ = self._errors(batch)
        loss = (errors.mean(0) * self.target_weight).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(errors), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:  # noqa: D102
        self._sums = torch.zeros(2, len(self.target_mean), dtype=torch.float64)

    def validation_step(self, batch: tuple[Any, Tensor], batch_idx: int) -> None:  # noqa: D102
        errors, present = self._errors(batch)
        self._sums += torch.stack([errors.sum(0), present.sum(0)]).cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the mean over targets of the standardised error; every process sees all validation rows."""
        total, count = self._sums
        self.log("val_loss", (total / count).mean().float(), prog_bar=True)

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


def pack(rows: Tensor, sizes: Tensor, *, n_batches: int) -> list[Tensor]:
    """Cut rows, in their order, into batches of about equal total size, none of them empty.

    Args:
        rows: Row numbers ``[n]``.
        sizes: Of every row that there is, such as its number of atoms.
        n_batches: At most ``n``.

    Example:
        >>> pack(torch.arange(4), torch.tensor([9, 1, 1, 1]), n_batches=2)
        [tensor([0]), tensor([1, 2, 3])]
    """
    upto = sizes[rows].double().cumsum(0)
    number = torch.arange(1, n_batches)
    ends = torch.searchsorted(upto, number * upto[-1] / n_batches) + 1
    # A huge crystal fills several shares: each batch keeps a row of its own all the same.
    ends = ((ends - number).cummax(0).values + number).clamp_max(len(rows) - n_batches + number)
    return list(rows.tensor_split(ends))


class _Batches(Dataset[tuple[Any, Tensor]]):
    def __init__(self, data: SourceBatches, batches: list[Tensor]) -> None:
        self.data, self.batches = data, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Any, Tensor]:
        rows = self.batches[number]
        return self.data.take(rows), self.data.targets[rows]


class SourceBatches(pl.LightningDataModule):
    """Batches of equal size, shuffled by seed and epoch, shared out among processes.

    Args:
        take: From row numbers to the module's inputs.
        targets: Transformed targets ``[n, n_targets]``, NaN where there is no value.
        rows: Row numbers of ``train``, ``val`` and ``test``.
        sizes: Of each crystal; ones to count crystals, numbers of atoms for graphs.
        batch_size: Crystals of mean size in a batch.
        seed: Of the order.
    """

    def __init__(
        self,
        take: Callable[[Tensor], Any],
        targets: Tensor,
        rows: dict[str, Tensor],
        *,
        sizes: Tensor,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.take, self.targets, self.rows, self.sizes = take, targets, rows, sizes
        self.batch_size, self.seed = batch_size, seed

    def _loader(self, rows: Tensor, *, n_batches: int, process: slice = slice(None)) -> DataLoader[tuple[Any, Tensor]]:
        return DataLoader(_Batches(self, pack(rows, self.sizes, n_batches=n_batches)[process]), batch_size=None)

    def evaluation_loader(self, part: str) -> DataLoader[tuple[Any, Tensor]]:
        """Batches of ``train``, ``val`` or ``test`` rows in their order."""
        rows = self.rows[part]
        return self._loader(rows, n_batches=math.ceil(len(rows) / self.batch_size))

    def train_dataloader(self) -> DataLoader[tuple[Any, Tensor]]:
        """This process's share of the epoch's batches; all processes have equally many."""
        assert self.trainer is not None
        world, rank = self.trainer.world_size, self.trainer.global_rank
        rows = self.rows["train"]
        n_batches = math.ceil(len(rows) / self.batch_size / world) * world
        if n_batches > len(rows):
            raise ValueError(f"{len(rows)} training rows are too few for {world} processes")
        generator = torch.Generator().manual_seed((self.seed << 32) + self.trainer.current_epoch)
        order = rows[torch.randperm(len(rows), generator=generator)]
        return self._loader(order, n_batches=n_batches, process=slice(rank, None, world))

    def val_dataloader(self) -> DataLoader[tuple[Any, Tensor]]:  # noqa: D102
        return self.evaluation_loader("val")


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
    module: SourceModule, data: SourceBatches, *, folder: Path, name: str, options: dict[str, Any] | None = None
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
    """
    settings, options = module.training_settings, dict(options or {})
    checkpoint = ModelCheckpoint(
        folder, filename="best", monitor="val_loss", mode="min", save_last=True, enable_version_counter=False
    )
    timer = Timer()
    callbacks: list[Callback] = [checkpoint, timer, _EpochLog(name), *options.pop("callbacks", [])]
    if settings.patience is not None:
        callbacks.append(EarlyStopping("val_loss", mode="min", patience=settings.patience))
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(leave=False))
    defaults: dict[str, Any] = {
        "max_epochs": settings.max_epochs,
        "accelerator": "auto",
        "logger": CSVLogger(folder, name="log"),
        "enable_progress_bar": sys.stderr.isatty(),
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the data know of the processes
        "reload_dataloaders_every_n_epochs": 1,  # the order depends on the epoch
    }
    try:
        trainer = pl.Trainer(**(defaults | options), callbacks=callbacks)
    except TypeError as error:
        raise ValueError(f"--trainer: {error}") from error
    last = folder / "last.ckpt"
    if last.exists():
        logger.info("%s: going on from %s", name, last)
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    best = torch.load(checkpoint.best_model_path, weights_only=True, map_location="cpu")
    module.cpu().load_state_dict(best["state_dict"])
    module.eval()
    round_parameters(module)
    return FinishedRun(
        epochs=trainer.current_epoch,
        best_epoch=best["epoch"] + 1,
        seconds=timer.time_elapsed("train"),
        is_main=trainer.is_global_zero,
    )


def round_parameters(module: nn.Module) -> None:
    """Give all parameters the precision of float16, in which they are stored; statistics stay as they are."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half())
