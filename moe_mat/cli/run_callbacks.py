"""What Lightning calls while one of its commands runs."""

from __future__ import annotations

import csv
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.module import MixtureOfExperts

# Columns of each target. What is not known is an empty field.
KINDS = ("predicted", "std", "lower", "upper", "percentile", "outside")


class PredictionWriter(Callback):
    """Writes predictions as they come, so that any number of crystals fits into memory.

    Args:
        path: CSV file to write.
        level: Of the intervals.
    """

    def __init__(self, path: str, level: float) -> None:
        self.path, self.level = Path(path), level
        self.rows = self.in_sample = self.outside = 0
        self.whole = ExitStack()  # what went wrong may have gone wrong before the first prediction

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        part = self.whole.enter_context(whole_file(self.path))
        self.progress = self.whole.enter_context(Progress("predicting"))
        self.writer = csv.writer(self.whole.enter_context(part.open("w", newline="", encoding="utf-8")))
        columns = [f"{target}_{kind}" for target in pl_module.hparams["targets"] for kind in KINDS]
        self.writer.writerow(["material_id", "in_sample", *columns])

    def on_predict_batch_end(  # noqa: D102
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        model = cast(MixtureOfExperts, pl_module)
        assert model.outcome is not None
        said = model.say(batch)
        std, (lower, upper) = model.intervals.std(said), model.intervals.bounds(said, self.level)
        numbers = torch.stack([outputs, std, lower, upper, said.percentiles], dim=2)
        in_sample = model.outcome.knows(batch.keys).tolist()
        rows = zip(batch.ids, in_sample, numbers.tolist(), said.outside.tolist(), strict=True)
        for name, known, of_targets, outside in rows:
            fields: list[object] = []
            for of_target, one in zip(of_targets, outside, strict=True):
                fields += [*("" if math.isnan(number) else number for number in of_target), one]
            self.writer.writerow([name, known, *fields])
        self.outside += int(said.outside.any(1).sum())
        self.rows += len(batch.ids)
        self.in_sample += sum(in_sample)
        self.progress.advance(len(batch.ids))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        self.whole.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: D102
        self.whole.__exit__(type(exception), exception, exception.__traceback__)


class TrainingProgress(Callback):
    """How far a training is, where it takes long."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        batches = int(trainer.num_training_batches)
        epochs = trainer.max_epochs or 0
        self.progress = Progress("training, in batches", total=epochs * batches if epochs > 0 else None)
        self.progress.__enter__()
        self.progress.done = trainer.current_epoch * batches

    def on_train_batch_end(  # noqa: D102
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.progress.advance()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        self.progress.__exit__(None, None, None)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: D102
        if hasattr(self, "progress"):
            self.progress.__exit__(None, None, None)
