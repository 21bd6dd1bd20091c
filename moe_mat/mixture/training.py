"""The one training road: command line, estimator and benchmark all train by `train`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import pytorch_lightning as pl
import torch
from numpy.random import RandomState
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from sklearn.utils import check_random_state
from torch import Tensor
from torch.nn.functional import nll_loss

from moe_mat.encoders import Device, choose_device
from moe_mat.mixture.batch import AT_ONCE
from moe_mat.mixture.batched_rows import BatchedRows
from moe_mat.mixture.checkpoints import DIGEST, read_run_checkpoint
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.heads.base import Head
from moe_mat.mixture.learned_crystals import LearnedCrystals
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.outcome import Outcome
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.zoo.checkpoints import read_checkpoint

Report = TypeVar("Report")


def member_seeds(random_state: int | RandomState | None, n_members: int) -> list[int]:
    """The seed of each member of an ensemble: of its weights, its batches, its dropout, and its validation rows."""
    random = check_random_state(random_state)
    return [int(random.randint(2**31 - 1)) for _ in range(n_members)]


def new_model(settings: MixtureSettings, *, seed: int) -> MixtureOfExperts:
    """A new mixture, whose first weights depend on the seed alone; the caller's random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MixtureOfExperts(**vars(settings))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a head is trained.

    Attributes:
        max_epochs: Largest number of epochs.
        validate_every: Epochs from one validation to the next.
        patience: Validations without a better MAE after which training stops.
    """

    max_epochs: int
    validate_every: int
    patience: int


def schedule(head: type[Head], settings: TrainingSettings) -> Schedule:
    """The schedule of a head: it owns its number of epochs and the interval of its validations."""
    max_epochs = settings.max_epochs or head.max_epochs
    every = min(head.validate_every, max_epochs)
    return Schedule(max_epochs, every, max(1, settings.patience // every))


def accelerator(head: Head, device: Device) -> str:
    """What Lightning trains a head on, see `moe_mat.mixture.settings.TrainingSettings`.

    Raises:
        ValueError: When it cannot be trained there.
    """
    chosen, tuned = choose_device(device), head.tuned
    if tuned is not None and not tuned.moves:
        if device == "cuda":
            raise ValueError("what is trained of the experts computes on the CPU alone: use the device cpu or auto")
        return "cpu"
    if head.full_batch or head.one_step:
        return "cpu"
    return chosen.type if tuned is not None or device == "cuda" else "cpu"


def train(
    trainer: pl.Trainer,
    model: MixtureOfExperts,
    data: EmbeddingDataModule,
    *,
    seed: int,
    before_refit: Callable[[], Report],
    refit: bool = TrainingSettings.refit,
    ckpt_path: str | None = None,
) -> Report:
    """Train in place, keep the epoch with the best validation MAE, complete it, and refit it.

    Args:
        trainer: With a `ModelCheckpoint` that monitors the validation MAE.
        model: A new mixture.
        data: Its data.
        seed: Of batches and dropout; the caller's random state is left as it was.
        before_refit: Called when the model is complete, and has not yet learned from the validation rows: the last
            moment at which these tell its error.
        refit: Whether it then learns from them, see `moe_mat.mixture.settings.TrainingSettings`.
        ckpt_path: Checkpoint of an interrupted run to go on from.

    Returns:
        What ``before_refit`` returns.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainer.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        best = next(
            one
            for one in trainer.checkpoint_callbacks
            if isinstance(one, ModelCheckpoint) and one.monitor == model.monitored
        )
        model.cpu().load_state_dict(_weights(Path(best.best_model_path)))
        model.head.refits = refit
        return complete(model, data, before_refit=before_refit)


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """Of a checkpoint; where it carries a digest, as those of a run folder do, it is checked."""
    content = read_checkpoint(path)
    return (read_run_checkpoint(path) if DIGEST in content else content)["state_dict"]


def complete(model: MixtureOfExperts, data: EmbeddingDataModule, *, before_refit: Callable[[], Report]) -> Report:
    """Complete a model whose best epoch is loaded, and refit it; see `train`."""
    head = model.head
    head.finish(data.part("train", by_rows=head.by_rows), data.part("val", by_rows=head.by_rows))
    model.eval()
    parts = ("train", "val") if head.learns_from_validation else ("train",)
    with torch.no_grad(), head.tuned_on(choose_device(data.device)):
        _measure(model, data, ("train",))
        model.calibrate(head.held_out(data.evaluation_loader("val")))
        report = before_refit()
        if head.learns_from_validation:
            head.refit(data.part("train", "val", by_rows=head.by_rows))
            _measure(model, data, parts)
    head.forget()
    rows = torch.cat([data.rows[part] for part in parts]).tolist() if data.keys else []
    validation = report.to_dict("val") if isinstance(report, RunReport) else {}
    model.outcome = Outcome(parts, frozenset(data.keys[row] for row in rows), validation)
    return report


def _measure(model: MixtureOfExperts, data: EmbeddingDataModule, parts: Sequence[str]) -> None:
    model.measure_from(data.evaluation_loader(*parts))
    rows = torch.cat([data.rows[part] for part in parts])
    model.learned = LearnedCrystals.of(data, parts, model.head.known_rows(data.targets[rows]))


def train_in_memory(
    model: MixtureOfExperts, data: EmbeddingDataModule, settings: TrainingSettings, *, seed: int
) -> float:
    """Train without a run folder and without a word.

    Returns:
        The validation MAE: in the target's unit, or for several targets the mean in units of their training spread. Of
        classes the log loss.
    """
    plan = schedule(type(model.head), settings)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        trainer = pl.Trainer(
            accelerator=accelerator(model.head, settings.device),
            devices=1,
            max_epochs=plan.max_epochs,
            check_val_every_n_epoch=plan.validate_every,
            callbacks=_callbacks(Path(folder), plan, model.monitored),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        error = train(
            trainer,
            model,
            data,
            seed=seed,
            before_refit=lambda: _error(model, data),
            refit=settings.refit,
        )
    model.trainer = None  # a trained model can be pickled; its trainer cannot
    return error


def _callbacks(folder: Path, plan: Schedule, monitored: str) -> list[Callback]:
    return [
        ModelCheckpoint(folder, monitor=monitored, mode="min", save_weights_only=True),
        EarlyStopping(monitored, mode="min", patience=plan.patience),
    ]


def _error(model: MixtureOfExperts, data: EmbeddingDataModule) -> float:
    """The validation MAE, of some thousand crystals at a time."""
    rows, some = BatchedRows(data, data.rows["val"]), torch.arange(len(data.rows["val"])).split(AT_ONCE)
    with torch.no_grad():
        batches = [rows.__getitems__(numbers.tolist()) for numbers in some]
        predicted = torch.cat([model(one) for one in batches])
        targets = torch.cat([cast(Tensor, one.targets) for one in batches])
        if model.probabilities is not None:
            return float(nll_loss(model.probabilities(predicted).clamp_min(1e-15).log(), labels_of(targets)))
        errors = (predicted - targets).abs().nanmean(0)
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
