"""How a run begins and ends in order: on the data it belongs to, and with nothing left behind where it fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from moe_mat.cli.signals import stopped_behind
from moe_mat.crystals.units import units_of
from moe_mat.files.whole import naming
from moe_mat.mixture.checkpoints import read_run_checkpoint
from moe_mat.mixture.data import QUICKSTART, QUICKSTART_TARGET, QUICKSTART_UNIT, CrystalDataModule

# Of a run that has trained nothing.
TRACES = {"config.yaml", "hparams.yaml", "metrics.csv"}


def check_quickstart(checkpoint: str | None) -> None:
    """Make sure that a checkpoint is of the quickstart, which is what is taken where no data is given.

    Raises:
        ValueError: When it is of other data; names them.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        return
    note = read_run_checkpoint(Path(checkpoint)).get(CrystalDataModule.__qualname__, {})
    place = note.get("path") or note.get("dataset")
    if note and place in (None, QUICKSTART):
        return
    known = f"{checkpoint} was trained on {place}" if place else f"it is not known what {checkpoint} was trained on"
    run = Path(checkpoint).parent.parent / "config.yaml"
    raise ValueError(f"no data is given, and {known}: name the data, or its run by --config {run} before --ckpt_path")


def tell_units(data: Namespace, model: Namespace, *, keeps: bool) -> None:
    """Tell the model the units of its targets, and the quickstart's where no data is given.

    Args:
        data: Options of the data.
        model: Options of the model, whose targets are known.
        keeps: Whether the units of a checkpoint stay where no others are given.
    """
    is_quickstart = data["path"] is None and data["dataset"] in (None, QUICKSTART)
    if is_quickstart and data["target"] == QUICKSTART_TARGET and data["unit"] is None:
        data["unit"] = QUICKSTART_UNIT
    if data["target"] is not None and not (keeps and data["unit"] is None):
        model["units"] = units_of(model["targets"], data["unit"])


def claimed_run_folder(config: Namespace) -> str | None:
    """The folder that a run is to have, if one is named; the run's configuration does not keep it.

    Args:
        config: All options.

    Raises:
        ValueError: When it holds something that the run does not go on with, or a logger names another; says so.
    """
    named, config["run_dir"] = config["run_dir"], None
    if named is None:
        return None
    if config["trainer"]["logger"] not in (None, True):
        raise ValueError("--run_dir and --trainer.logger both name the run folder: leave out one")
    folder, checkpoint = Path(named), config.get("ckpt_path")
    goes_on = checkpoint is not None and folder.resolve() in Path(checkpoint).resolve().parents
    if folder.exists() and not goes_on and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--run_dir {named} is there already, and not empty: name a new folder")
    return str(named)


def checkpoints_folder(trainer: pl.Trainer) -> Path:
    """Where a training keeps its checkpoints."""
    return Path(str(cast(ModelCheckpoint, trainer.checkpoint_callback).dirpath))


@contextmanager
def in_order(trainer: pl.Trainer, command: str) -> Iterator[None]:
    """A run that fails names what is full, says how to go on, and leaves no folder in which there is nothing.

    Args:
        trainer: That runs in the block.
        command: The command of Lightning.
    """
    folder = Path(trainer.log_dir or ".")
    try:
        with naming(folder):
            yield
    except BaseException as error:
        if isinstance(trainer.logger, CSVLogger):
            remove_traces(folder, parents=2 if trainer.logger.name else 0)
        stopped = stopped_behind(error)
        if stopped is not None and command == "fit":
            last, config = checkpoints_folder(trainer) / "last.ckpt", folder / "config.yaml"
            if last.is_file():
                known = f" --config {config}" if config.is_file() else " and the same options,"
                stopped.advice = f"go on by moe-mat fit{known} --ckpt_path {last}"
        raise


def remove_traces(folder: Path, *, parents: int = 2) -> None:
    """Remove the folder of a run that has trained nothing, and some of those above it, if they are empty then."""
    if not folder.is_dir() or {path.name for path in folder.rglob("*") if path.is_file()} - TRACES:
        return
    shutil.rmtree(folder)
    for empty in (folder.parent, folder.parent.parent)[:parents]:
        if empty == Path() or any(empty.iterdir()):
            return
        empty.rmdir()
