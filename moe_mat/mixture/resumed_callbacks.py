"""Callbacks of Lightning that go on where those of an interrupted run were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class ResumedCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that remembers the best epoch of the interrupted run.

    Lightning forgets its score where a resumed run writes into another folder, and looks for its file where that was,
    though the folder may have been moved since.
    """

    def on_load_checkpoint(  # noqa: D102
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._folder = Path(str(trainer.ckpt_path)).parent

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore score and file of the best epoch.

        Raises:
            ValueError: When the file is not there, without which the end of the training would fail.
        """
        best = state_dict["best_model_path"]
        if best and self.monitor:
            best = self._find(Path(best), Path(state_dict["dirpath"]))
        super().load_state_dict({**state_dict, "dirpath": self.dirpath, "best_model_path": str(best)})

    def _find(self, best: Path, folder: Path) -> Path:
        """Where a file is now that was there when its checkpoints were in ``folder``."""
        moved = Path(os.path.normpath(self._folder / os.path.relpath(best, folder)))
        for path in (moved, best):
            if path.exists():
                return path
        raise ValueError(f"{moved} is missing, the best epoch of the run that is to go on: restore it, or train anew")


class ResumedEarlyStopping(EarlyStopping):
    """An `EarlyStopping` that remembers that it has stopped the interrupted run, which is not trained further."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience
