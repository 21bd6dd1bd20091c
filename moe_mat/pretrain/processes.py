"""The processes of a distributed training: how many there are, which this one is, and what one does for all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors.torch import load_file, save_file
from torch import Tensor

from moe_mat.files.whole import whole_file

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


def new_trainer(options: Mapping[str, Any]) -> pl.Trainer:
    """Lightning's Trainer.

    Raises:
        ValueError: When an option is not one of its own.
    """
    try:
        return pl.Trainer(**options)
    except TypeError as error:
        raise ValueError(f"--trainer: {error}") from error


@dataclass(frozen=True, slots=True)
class Processes:
    """Those of one training.

    Attributes:
        count: How many.
        is_main: Whether this is the first, which writes what is written.
    """

    count: int
    is_main: bool

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Processes:
        """As Lightning, torchrun or Slurm arrange them.

        Args:
            options: Of Lightning's Trainer.

        Raises:
            ValueError: When an option is not one of its own.
        """
        silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        notes = logging.getLogger("pytorch_lightning.utilities.rank_zero")
        level = notes.level
        notes.setLevel(logging.WARNING)
        try:
            trainer = new_trainer({**options, "callbacks": None, **dict.fromkeys(silent, False)})
        finally:
            notes.setLevel(level)
        return cls(trainer.num_devices * trainer.num_nodes, trainer.node_rank == trainer.local_rank == 0)

    def once(self, path: Path, compute: Callable[[], Tensor]) -> Tensor:
        """What one process computes and all of them need; the others wait for it, on whatever node they are.

        Args:
            path: File that it goes through, which all must see; of a name that no other content has.
            compute: Computes it.
        """
        if self.count == 1:
            return compute()
        if self.is_main:
            if not path.exists():
                with whole_file(path) as part:
                    save_file({"values": compute()}, part)
        elif not path.exists():
            logger.info("waiting for %s, which the first process writes", path)
            while not path.exists():
                time.sleep(POLL_SECONDS)
        return load_file(path)["values"]
