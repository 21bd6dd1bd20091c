"""What Lightning calls while one of its commands runs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from moe_mat.cli.prediction_screen import FEW
from moe_mat.crystals.parquet_tables import is_parquet
from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.prediction_table import PredictionTable
from moe_mat.shards.parts import parquet_writer

Write = Callable[[Mapping[str, Any]], None]


class PredictionWriter(Callback):
    """Writes predictions as they come, so that any number of crystals fits into memory.

    Args:
        path: File to write: Parquet by its name, else CSV.
        level: Of the intervals.
    """

    def __init__(self, path: str, level: float) -> None:
        self.path, self.level = Path(path), level
        self.rows = self.in_sample = self.outside = 0
        self.first: list[dict[str, Any]] = []  # the first rows, column to value
        self.whole = ExitStack()  # what went wrong may have gone wrong before the first prediction

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        part = self.whole.enter_context(whole_file(self.path))
        self.progress = self.whole.enter_context(Progress("predicting"))
        self.table = PredictionTable(cast(MixtureOfExperts, pl_module), self.level)
        self.write = self._parquet(part) if is_parquet(self.path) else self._csv(part)

    def _csv(self, part: Path) -> Write:
        writer = csv.writer(self.whole.enter_context(part.open("w", newline="", encoding="utf-8")))
        writer.writerow(self.table.columns)

        def write(columns: Mapping[str, Any]) -> None:
            ids, *numbers = columns.values()
            known = [["" if one != one else one for one in values.tolist()] for values in numbers]  # NaN is not known
            writer.writerows(zip(ids, *known, strict=True))

        return write

    def _parquet(self, part: Path) -> Write:
        writer = self.whole.enter_context(parquet_writer(part, self.table.schema))
        return lambda columns: writer.write_table(self.table.to_arrow(columns))

    def on_predict_batch_end(  # noqa: D102
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        said = cast(Said, outputs)
        columns = self.table.of_batch(batch, said)
        self.write(columns)
        for row in range(min(len(batch.ids), FEW - len(self.first))):
            self.first.append({name: values[row] for name, values in columns.items()})
        self.outside += int(said.outside.any(1).sum())
        self.rows += len(batch.ids)
        self.in_sample += int(columns["in_sample"].sum())
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
