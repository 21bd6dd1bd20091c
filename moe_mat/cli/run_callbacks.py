"""What Lightning calls while one of its commands runs."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.report import PREDICTED_OF_TARGET, prediction_columns


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
        columns = [f"{target}_{kind}" for target in pl_module.hparams["targets"] for kind in PREDICTED_OF_TARGET]
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
        model, said = cast(MixtureOfExperts, pl_module), cast(Said, outputs)
        assert model.outcome is not None
        in_sample = model.outcome.knows(batch.keys).tolist()
        columns = [
            ["" if value != value else value for value in values.tolist()]  # NaN is not known
            for target in range(len(model.domains))
            for values in prediction_columns(model, said, target, self.level).values()
        ]
        self.writer.writerows(zip(batch.ids, in_sample, *columns, strict=True))
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
