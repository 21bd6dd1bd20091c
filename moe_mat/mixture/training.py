"""One training run outside the command line: the same LightningModule, data and trainer, kept quiet and in memory."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from moe_mat.mixture.data import Batch, EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts

# The likelihood of a kernel head is exact and needs few steps; a network sees batches.
DEFAULT_EPOCHS = {"kernel": 60, "mlp": 200}
# A step of a kernel head costs less than its validation.
VALIDATE_EVERY = {"kernel": 5, "mlp": 1}


def train(
    model: MixtureOfExperts, data: EmbeddingDataModule, *, max_epochs: int | None, patience: int, seed: int
) -> float:
    """Train in place and keep the epoch with the best validation MAE.

    Args:
        model: A new mixture.
        data: Its data.
        max_epochs: Largest number of epochs; ``None`` for the usual one of the head.
        patience: Epochs without a better validation MAE after which training stops.
        seed: Of batches and dropout; the caller's random state is left as it was.

    Returns:
        The validation MAE: in the target's unit, or for several targets the mean in units of their training spread.
    """
    epochs = max_epochs or DEFAULT_EPOCHS[model.hparams["head"]]
    every = min(VALIDATE_EVERY[model.hparams["head"]], epochs)
    with tempfile.TemporaryDirectory() as folder, _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        best = ModelCheckpoint(folder, monitor="val_mae", mode="min", save_weights_only=True)
        trainer = pl.Trainer(
            accelerator="cpu",  # cached embeddings give a GPU nothing to do, and the kernel head needs double precision
            max_epochs=epochs,
            check_val_every_n_epoch=every,
            callbacks=[best, EarlyStopping("val_mae", mode="min", patience=max(1, patience // every))],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(model, datamodule=data)
        model.load_state_dict(torch.load(best.best_model_path, weights_only=True, map_location="cpu")["state_dict"])
        val = data.part("val")
        model.mixture.finish(data.part("train"), val)
        score = _error(model.cpu().eval(), val)
        model.mixture.refit(data.part("train", "val"))
    model.trainer = None  # a trained model can be pickled; its trainer cannot
    return score


def _error(model: MixtureOfExperts, batch: Batch) -> float:
    assert batch.targets is not None
    with torch.no_grad():
        errors = (model(batch) - batch.targets).abs().nanmean(0)
    return float(errors[0] if len(errors) == 1 else (errors / model.transform.spread).nanmean())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's notes on devices, which say nothing new on the tenth fit of a cross-validation."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
