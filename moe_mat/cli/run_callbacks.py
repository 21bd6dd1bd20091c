"""What Lightning calls while one of its commands runs."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.settings import DataSettings

DATA_NOTE = "data_settings"
"""Where a checkpoint says what it was trained on."""


class PredictionWriter(Callback):
    """Writes predictions as they come, so that any number of crystals fits into memory.

    Args:
        path: CSV file to write.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows = 0
        self.whole = ExitStack()  # holds the file while it is written

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        part = self.whole.enter_context(whole_file(self.path))
        self.progress = self.whole.enter_context(Progress("predicting"))
        self.writer = csv.writer(self.whole.enter_context(part.open("w", newline="", encoding="utf-8")))
        targets = pl_module.hparams["targets"]
        self.writer.writerow(["material_id", *targets, *(f"{target}_std" for target in targets)])

    def on_predict_batch_end(  # noqa: D102
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        std = cast(MixtureOfExperts, pl_module).head.std(batch)
        columns = outputs if std is None else torch.cat([outputs, std], dim=1)
        for name, values in zip(batch.ids, columns.tolist(), strict=True):
            self.writer.writerow([name, *values])
        self.rows += len(batch.ids)
        self.progress.advance(len(batch.ids))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        self.whole.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: D102
        self.whole.__exit__(type(exception), exception, exception.__traceback__)


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint that says what data it is of; a resumed run remembers the best score of the interrupted one.

    Args:
        data: Settings of the data.
        given: Arguments of Lightning's ModelCheckpoint.
    """

    def __init__(self, data: DataSettings, **given: Any) -> None:
        super().__init__(enable_version_counter=False, **given)
        self.data = data

    def on_save_checkpoint(  # noqa: D102
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[DATA_NOTE] = asdict(self.data)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, although a resumed run writes into a folder of its own."""
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


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
