"""The command ``moe-mat tune``: which settings are better than the given ones, by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from pymatgen.core import Structure

from moe_mat.cli.crossval import CrossvalCLI, repeated_crystals
from moe_mat.cli.lightning_settings import cli_settings
from moe_mat.cli.options import TuneOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts
from moe_mat.cli.signals import stopped_behind
from moe_mat.cli.tune_screen import print_tuning
from moe_mat.crystals.folds import Fold
from moe_mat.crystals.splits import Split
from moe_mat.files.identity import claim_folder
from moe_mat.files.locks import only_writer
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.fold_folder import NOT_COMPARED, part_names
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.tune import SearchSpace, Tuning, usual_values
from moe_mat.tune.columns import Columns
from moe_mat.tune.results import BEST, SPLITS, SUMMARY, as_config, found_by, write_results
from moe_mat.tune.trials import Trials
from moe_mat.zoo.find import find_cards


class TuneCLI(CrossvalCLI):
    """Cross-validate one configuration after the other."""

    name: ClassVar[str] = "tune"
    start = 0.0

    def refuse(self, config: Namespace) -> None:
        """Refuse what cannot be compared."""
        if config["model"]["trainable"] != "none":
            raise ValueError("tune compares heads on frozen experts: leave out --model.trainable")
        if config["minutes"] <= 0:
            raise ValueError(f"--minutes is {config['minutes']}: more than 0 are needed")
        if config["trials"] is not None and config["trials"] < 1:
            raise ValueError(f"--trials is {config['trials']}: at least 1, the given settings, is needed")

    def fit(
        self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str | None = None, **rest: object
    ) -> None:
        """Go on with the search, and say what it has found."""
        output = Path(self.options.output)
        check_output(output / SUMMARY, [datamodule.settings.path, datamodule.settings.splits])
        structures, table = datamodule.load()
        groups, split = datamodule.groups(structures, table), datamodule.split_of(structures, table)
        pool = np.sort(np.concatenate([split.train, split.val]))
        of_pool = None if groups is None else [groups[row] for row in pool]
        folds = self._folds(len(pool), of_pool, table.iloc[pool].reset_index(drop=True))
        of_all = [fold._replace(split=Split(*(pool[rows] for rows in fold.split))) for fold in folds]
        space = self._space(model, datamodule, pool)
        identity = self._identity(model, datamodule, of_all)
        identity["search"] = [f"{name}: {', '.join(labels)}" for name, labels in space.values.items()]
        with only_writer(output):
            claim_folder(
                output / SUMMARY, identity, what="search", not_compared=NOT_COMPARED | {"settings.data.splits"}
            )
            trials = Trials(output, space, seed=self.seed)
            self._search(trials, self._tuning(datamodule, structures, pool, folds))
            found = found_by(trials.all(), space, folds)
            found |= {
                "units": datamodule.units,
                "minutes": trials.seconds / 60,
                "rows": len(pool),
                "test_rows": len(split.test),
                "left_out": [str(one) for one in datamodule.left_out],
                "warnings": repeated_crystals([structures[row] for row in pool], folds),
            }
            winner = next(one for one in trials.all() if one.number == (found["best_trial"] if found["wins"] else 0))
            splits = {
                str(number): part_names(one, datamodule.ids) for number, one in enumerate([split, *_splits(of_all)])
            }
            config = self._config(space.settings(winner.labels), output)
            write_results(output, found, identity=identity, splits=splits, config=config)
        print_tuning(found, name=str(datamodule.name), targets=datamodule.target_columns, folder=output)
        self.facts = {"data": datamodule.name, **found, "output": output, "config": output / BEST}

    def _space(self, model: MixtureOfExperts, data: CrystalDataModule, pool: np.ndarray) -> SearchSpace:
        """What is compared: the settings that were named, or the usual ones."""
        base, searched = MixtureSettings(**model.hparams), cast(TuneOptions, self.options).search
        base = replace(base, experts=self.config[self.command]["model"]["experts"])  # names as they were given
        if searched is None:
            return SearchSpace(base, usual_values(base, data.targets[pool]))
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(MixtureSettings, sub_configs=False)
        values: dict[str, list[object]] = {}
        for name, tried in searched.items():
            if not isinstance(tried, list) or not tried:
                raise ValueError(f"--search.{name} is {tried!r}: a list of values is meant, such as [1, 2]")
            known = hasattr(base, name)
            values[name] = [parser.parse_object({name: one})[name] if known else one for one in tried]
        return SearchSpace(base, values)

    def _tuning(
        self, data: CrystalDataModule, structures: Sequence[Structure], pool: np.ndarray, folds: Sequence[Fold]
    ) -> Tuning:
        """The crystals without the test rows, and all that the trials have in common."""
        options, names = cast(TuneOptions, self.options), [data.ids[row] for row in pool]
        embeddings = data.embeddings[pool]
        columns = Columns(
            [structures[row] for row in pool],
            names,
            embeddings,
            find_cards(data.experts),
            on_unknown_element=data.settings.on_unknown_element,
            workers=data.settings.workers,
            device=data.device,
        )
        learned = EmbeddingDataModule(
            embeddings, data.targets[pool], {}, ids=names, batch_size=data.batch_size, device=data.device
        )
        return Tuning(
            data=learned,
            columns=columns,
            folds=folds,
            training=TrainingSettings(**self._training(), device=data.device),
            seed=self.seed,
            level=self.level,
            minutes=options.minutes,
            n_trials=options.trials,
            workers=options.workers,
        )

    def _search(self, trials: Trials, tuning: Tuning) -> None:
        try:
            tuning(trials, spent=time.monotonic() - self.start)
        except BaseException as error:
            if (stopped := stopped_behind(error)) is not None:
                ended = sum(one.state != "running" for one in trials.all())
                stopped.advice = f"the same command goes on: {ended} trials are finished"
            raise

    def _identity(self, model: MixtureOfExperts, data: CrystalDataModule, folds: Sequence[Fold]) -> dict[str, object]:
        """What the numbers depend on; not how long is searched."""
        identity = super()._identity(model, data, folds)
        settings, versions = cast(dict[str, object], identity["settings"]), cast(dict[str, str], identity["versions"])
        for name in ("minutes", "trials", "search"):
            settings.pop(name)
        versions["optuna"] = version("optuna")
        return identity

    def _config(self, settings: MixtureSettings, output: Path) -> dict[str, object]:
        """Of ``moe-mat fit``: these settings on these data, whose test rows are those that the search has not seen."""
        model, config = as_config(settings), self.config[self.command]
        data = {
            name: value
            for name, value in as_config(self.datamodule.settings).items()
            if name not in ("group", "fractions")
        }
        training = {"refit": config["refit"], "level": config["level"], "device": config["device"]}
        epochs, patience = config["trainer"]["max_epochs"], config["early_stopping"]["patience"]
        return {
            "seed_everything": self._get(self.config, "seed_everything"),
            "data": data | {"splits": str(output / SPLITS), "split": 0},
            "model": {name: value for name, value in model.items() if name not in ("targets", "units")},
            **training,
            "trainer": {"max_epochs": epochs},
            "early_stopping": {"patience": patience},
        }


def _splits(folds: Sequence[Fold]) -> list[Split]:
    return [fold.split for fold in folds]


def run_tune(arguments: Sequence[str]) -> Facts:
    """Run the command; returns what was done."""
    command, *rest = arguments
    TuneCLI.start = time.monotonic()
    return TuneCLI("fit", **cli_settings(command, ["fit", *rest])).facts
