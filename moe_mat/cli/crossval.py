"""The command ``moe-mat crossval``: what fit trains, on every fold of a cross-validation."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pymatgen.core import Structure
from pytorch_lightning.cli import LightningArgumentParser

from moe_mat.cli.crossval_screen import print_crossval
from moe_mat.cli.lightning import MoeMatCLI
from moe_mat.cli.lightning_settings import cli_settings
from moe_mat.cli.one_split import TRAINING_OPTIONS
from moe_mat.cli.outputs import check_output
from moe_mat.cli.run_options import BY_FOLDS, add_own_options
from moe_mat.cli.screen import Facts
from moe_mat.cli.signals import stopped_behind
from moe_mat.crystals.duplicates import same_crystals
from moe_mat.crystals.folds import Fold, make_folds, times_of
from moe_mat.files.locks import only_writer
from moe_mat.files.progress import Progress
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.data_digest import DataDigest
from moe_mat.mixture.fold_folder import SUMMARY, FoldFolder
from moe_mat.mixture.fold_training import FoldTraining
from moe_mat.mixture.fold_workers import train_folds
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.settings import DataSettings, MixtureSettings, TrainingSettings
from moe_mat.mixture.weights import weightless_crystals

logger = logging.getLogger(__name__)

PACKAGES = ("moe_mat", "torch", "numpy", "scikit-learn")


class CrossvalCLI(MoeMatCLI):
    """Fit, with all its options, on one fold after the other.

    Attributes:
        options: Of the folds.
    """

    name: ClassVar[str] = "crossval"

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the folds to those of fit."""
        super().add_core_arguments_to_parser(parser)
        add_own_options(parser, self.name)

    def before_instantiate_classes(self) -> None:
        """Refuse what only a single run can do, which would be left undone without a word."""
        config, defaults = self.config[self.command], self._parser(self.command).get_defaults()
        if config.get("ckpt_path"):
            raise ValueError("each fold is trained anew: leave out --ckpt_path")
        if config["run_dir"]:
            raise ValueError(f"--run_dir is for single runs: {self.name} writes to the folder --output")
        self.refuse(config)
        for group in ("trainer", "early_stopping"):
            for name, value in config[group].items():
                option = f"{group}.{name}"
                if option not in TRAINING_OPTIONS and value != defaults[group].get(name):
                    taken = " and ".join(TRAINING_OPTIONS)
                    raise ValueError(f"--{option} is for fit: of Lightning's options, {self.name} takes {taken}")
        super().before_instantiate_classes()
        self.save_config_callback = None  # there is no run folder
        kind = BY_FOLDS[self.name]
        self.options = kind(**{one.name: config[one.name] for one in fields(kind)})
        if self.options.workers < 1:
            raise ValueError(f"workers is {self.options.workers}: at least 1 is needed")

    def refuse(self, config: Namespace) -> None:
        """Refuse options that contradict the command."""
        if config["data"]["splits"] is not None:
            raise ValueError("data.splits gives one split, and crossval makes its own: leave it out, or use fit")

    @property
    def n_processes(self) -> int:
        """That train folds at a time."""
        return self.options.workers

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Lightning wants one; each fold is trained by its own."""
        return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)

    def fit(
        self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str | None = None, **rest: Any
    ) -> None:
        """Train the folds that are not finished yet, and say what all of them say."""
        output = Path(self.options.output)
        check_output(output / SUMMARY, [datamodule.settings.path])
        structures, table = datamodule.load()
        folds = self._folds(len(structures), datamodule.groups(structures, table), table)
        training = FoldTraining(
            datamodule,
            MixtureSettings(**model.hparams),
            TrainingSettings(**self._training(), device=datamodule.device),
            self.seed,
            self.level,
        )
        with only_writer(output):
            folder = FoldFolder(output, self._identity(model, datamodule, folds))
            trained = self._train(training, folds, folder)
            warnings = [*weightless_crystals(datamodule.given_weights), *repeated_crystals(structures, folds)]
            left_out = [str(one) for one in datamodule.left_out]
            noted = {"rows": len(structures), "units": datamodule.units, "left_out": left_out, "warnings": warnings}
            found = folder.finish(trained, datamodule.ids, noted)
        print_crossval(found, name=str(datamodule.name), folder=output)
        self.facts = {"data": datamodule.name, **found, "output": output}

    def _folds(self, n_rows: int, groups: Sequence[object] | None, table: pd.DataFrame) -> list[Fold]:
        settings: DataSettings = self.datamodule.settings
        options, (train, val, _) = self.options, settings.fractions
        return make_folds(
            n_rows,
            n_folds=options.folds,
            n_repeats=options.repeats,
            seed=settings.split,
            groups=groups,
            times=None if options.order is None else times_of(options.order, table),
            validation_fraction=val / (train + val),
            validation_seed=self.seed,
        )

    def _training(self) -> dict[str, Any]:
        config = self.config[self.command]
        epochs, patience = config["trainer"]["max_epochs"], config["early_stopping"]["patience"]
        return {"max_epochs": epochs, "patience": patience, "refit": config["refit"]}

    def _identity(self, model: MixtureOfExperts, data: CrystalDataModule, folds: Sequence[Fold]) -> dict[str, object]:
        """What the numbers depend on."""
        options = {name: value for name, value in asdict(self.options).items() if name not in ("workers", "output")}
        options["level"] = self.level
        of_data = {name: value for name, value in asdict(data.settings).items() if name != "workers"}
        rows = {
            f"{fold.name}: {part}": torch.as_tensor(of_part)
            for fold in folds
            for part, of_part in fold.split._asdict().items()
        }
        digest = DataDigest.of(data.ids, data.keys, data.targets, rows, data.given_weights)
        weights = {} if digest.weights is None else {"weights": digest.weights}
        return {
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "seed": self._get(self.config, "seed_everything"),
            "settings": {**options, **self._training(), "data": of_data, "model": dict(model.hparams)},
            "experts": {card.tag: card.digest for card in model.cards},
            "digests": {"crystals": digest.crystals, "targets": digest.targets, "folds": digest.split, **weights},
        }

    def _train(self, training: FoldTraining, folds: Sequence[Fold], folder: FoldFolder) -> list[tuple[Fold, RunReport]]:
        """Train the folds that are not finished yet; returns all of them."""
        kept = {fold.name: report for fold in folds if (report := folder.kept(fold)) is not None}
        if kept:
            logger.info("%d of %d folds are finished already in %s", len(kept), len(folds), folder.folder)
        to_do = [fold for fold in folds if fold.name not in kept]
        training_folds = closing(train_folds(training, to_do, workers=self.options.workers))
        try:
            with Progress("training folds", total=len(to_do)) as progress, training_folds as finished:
                for fold, report in finished:
                    folder.keep(fold, report)
                    kept[fold.name] = report
                    progress.advance()
        except BaseException as error:
            if (stopped := stopped_behind(error)) is not None:
                stopped.advice = f"the same command goes on: {len(kept)} of {len(folds)} folds are finished"
            raise
        return [(fold, kept[fold.name]) for fold in folds]


def repeated_crystals(structures: Sequence[Structure], folds: Sequence[Fold]) -> list[str]:
    """A warning where crystals are tested that the model learns from in other rows, by structure."""
    same = same_crystals(structures)
    tested = [fold.split for fold in folds if fold.repeat == 0]
    known = sum(int(np.isin(same[one.test], same[np.concatenate([one.train, one.val])]).sum()) for one in tested)
    if not known:
        return []
    return [
        f"{known} of {sum(len(one.test) for one in tested)} test rows are crystals, by structure, that the model "
        "learns from in other rows, which flatters it: --data.group structure keeps them together"
    ]


def run_crossval(arguments: Sequence[str]) -> Facts:
    """Run the command; returns what was done."""
    command, *rest = arguments
    return CrossvalCLI("fit", **cli_settings(command, ["fit", *rest])).facts
