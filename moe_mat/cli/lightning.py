"""Lightning's subcommands: fit, validate, test and predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from moe_mat.cli.grammar import Given, Grammar, with_word_as
from moe_mat.cli.lightning_settings import cli_settings
from moe_mat.cli.one_split import advice_on_one_split
from moe_mat.cli.options import DATA_OPTIONS, ShardOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.prediction_screen import tell_predictions
from moe_mat.cli.run_callbacks import PredictionWriter, TrainingProgress
from moe_mat.cli.run_options import PATIENCE, add_own_options, add_run_options
from moe_mat.cli.run_order import check_quickstart, checkpoints_folder, claimed_run_folder, in_order, tell_units
from moe_mat.cli.run_page import commands_of_run, page_of_run
from moe_mat.cli.run_screen import print_report, run_facts
from moe_mat.cli.screen import Facts, screen
from moe_mat.cli.sharded import is_sharded, predict_in_parts
from moe_mat.encoders import choose_device
from moe_mat.mixture.checkpoints import RunCheckpoints, check_run_checkpoint
from moe_mat.mixture.data import QUICKSTART, QUICKSTART_TARGET, CrystalDataModule
from moe_mat.mixture.data_checks import DataChecks
from moe_mat.mixture.heads.base import get_head
from moe_mat.mixture.heads.choice import settled
from moe_mat.mixture.memory import affordable
from moe_mat.mixture.module import MONITORED, MixtureOfExperts
from moe_mat.mixture.report import RunReport, evaluate, score
from moe_mat.mixture.resumed_callbacks import ResumedCheckpoint, ResumedEarlyStopping
from moe_mat.mixture.run_folder import write_run
from moe_mat.mixture.run_logger import RunLogger
from moe_mat.mixture.settings import DataSettings, MixtureSettings, TrainingSettings
from moe_mat.mixture.training import Schedule, accelerator, member_seeds, new_model, schedule, train
from moe_mat.zoo.find import find_cards

RUNS = "runs"
# Loggers that do not work without a folder.
LOGGERS_WITH_FOLDER = ("TensorBoardLogger", "CSVLogger")


class MoeMatCLI(LightningCLI):
    """LightningCLI with the mixture, its data and its run folder.

    Args:
        command: The one of its subcommands that is to be run.
        given: Arguments of LightningCLI.

    Attributes:
        facts: What was done, as plain data.
        given: What was typed.
    """

    def __init__(self, command: str, **given: Any) -> None:
        self.command = command
        self.given: list[Given] = []
        self.facts: Facts = {}
        super().__init__(**given)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that is run, and arguments of the Trainer that are no options: all commands share ``--verbose``."""
        return {self.command: {*LightningCLI.subcommands()[self.command], "verbose"}}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add data and model, which a reader of the help looks for first, and Lightning's own options after them."""
        add_run_options(parser)
        add_own_options(parser, self.command)
        parser.add_lightning_class_args(ResumedEarlyStopping, "early_stopping")
        parser.set_defaults(
            {"early_stopping.monitor": MONITORED, "early_stopping.mode": "min", "early_stopping.patience": PATIENCE}
        )
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{name}": value for name, value in self.trainer_defaults.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and look at the checkpoint before Lightning does: its message on a hostile one is bad advice."""
        command, *words = args
        grammar = Grammar.of(self._parser(command)._option_string_actions, aliases=DATA_OPTIONS)
        given = self.given = with_word_as("data.path", grammar.read(words))
        typed = {one.name: one.value for one in given}
        if str(typed.get("trainer.logger")).rpartition(".")[2] in LOGGERS_WITH_FOLDER:
            given += [Given("trainer.logger.save_dir", RUNS)] if "trainer.logger.save_dir" not in typed else []
        self.config = parser.parse_args([command, *map(str, given)])
        checkpoint = self.config[command].get("ckpt_path")
        if checkpoint and Path(checkpoint).is_file():
            model = self.config[command]["model"].as_dict()
            check_run_checkpoint(Path(checkpoint), resumes=command == "fit", given=model)

    def before_instantiate_classes(self) -> None:
        """Tell data, model and trainer what they need to know of each other."""
        config = self.config[self.subcommand]
        data, model, trainer = config["data"], config["model"], config["trainer"]
        if not 0 < config["level"] < 1:
            raise ValueError(f"--level is {config['level']}: it is a share between 0 and 1, such as 0.9")
        if config.get("engine") != "ray":  # whose workers are elsewhere
            choose_device(config["device"])
        if self.subcommand != "fit" and not config.get("ckpt_path"):
            raise ValueError("a trained model is needed: name its checkpoint with --ckpt_path")
        if data["path"] is None and data["dataset"] is None:
            if self.subcommand == "predict":
                raise ValueError("no crystals are given: name their file or folder, as in moe-mat predict crystals/")
            check_quickstart(config.get("ckpt_path"))
        if data["target"] is None:
            if config.get("ckpt_path"):
                data["target"] = model["targets"]
            elif data["path"] is None and data["dataset"] is None:
                data["target"] = QUICKSTART_TARGET
        if config.get("ckpt_path") and not model["classes"]:
            data["kind"] = "number"
        if data["target"] is not None:
            model["targets"] = [data["target"]] if isinstance(data["target"], str) else data["target"]
        tell_units(data, model, keeps=bool(config.get("ckpt_path")))
        self.run_dir = claimed_run_folder(config)
        config["weights_only"] = True  # a checkpoint is data; one that holds code is refused
        if self.subcommand == "predict":
            self.sharding = ShardOptions(**{one.name: config[one.name] for one in fields(ShardOptions)})
            if not is_sharded(self.sharding):
                screen.leave_stdout_to(config["output"])
                experts = [model["experts"]] if isinstance(model["experts"], str) else model["experts"]
                configs = [str(one) for one in config.get("config") or []]
                check_output(config["output"], [data["path"], config["ckpt_path"], *configs, *experts])
            config["return_predictions"] = False  # they are written as they come
            self.save_config_callback = None  # there is no run folder, and the working folder is not ours
        logger = trainer["logger"]
        if hasattr(logger, "init_args") and logger["init_args"].get("name") == "lightning_logs":
            stem = Path(data["path"]).stem if data["path"] else data["dataset"] or QUICKSTART
            logger["init_args"]["name"] = data["name"] or stem
        head = get_head(settled(MixtureSettings(head=model["head"])).head)
        if head.full_batch or head.one_step:
            if trainer["accelerator"] not in ("cpu", "auto"):
                raise ValueError(
                    f"the {head.name} head is solved on the CPU: leave out --trainer.accelerator, or use another head"
                )
            trainer["accelerator"] = "cpu"

    @property
    def level(self) -> float:
        """Of the intervals."""
        return self._get(self.config, "level")

    def _schedule(self) -> Schedule:
        """How long is trained; the configuration keeps what was asked for, so that it can be used again."""
        given = TrainingSettings(max_epochs=self._get(self.config, "trainer")["max_epochs"])
        return schedule(type(self.model.head), given)

    def instantiate_classes(self) -> None:
        """Make data and model from their settings: the model's first weights are those that the estimator starts at."""
        self.config_init = self.parser.instantiate_classes(self.config)
        settings: MixtureSettings = self._get(self.config_init, "model")
        data: DataSettings = self._get(self.config_init, "data")
        seed = self._get(self.config, "seed_everything")
        (self.seed,) = member_seeds(seed if isinstance(seed, int) else torch.initial_seed() % 2**31, 1)
        device = self._get(self.config, "device")
        self.datamodule = CrystalDataModule(
            data, experts=settings.experts, classes=settings.classes, trainable=settings.trainable, device=device
        )
        if self.command == "fit":
            settings = replace(settings, experts=self.datamodule.choose_experts())
            self.config[self.command]["model"]["experts"] = settings.experts
            settings = replace(settings, classes=self.datamodule.find_classes())
            self.config[self.command]["model"]["classes"] = settings.classes
            settings = self._affordable(settings)
        self.model = new_model(settings, seed=self.seed)
        self.trainer = self.instantiate_trainer()

    def _affordable(self, settings: MixtureSettings) -> MixtureSettings:
        """The same with the head that suits the number of rows, if that fits into memory."""
        cards, n_rows = find_cards(settings.experts), self.datamodule.n_learned_rows()
        workers = self.datamodule.settings.workers
        settings = affordable(settings, cards, n_rows=n_rows, n_processes=self.n_processes, workers=workers)
        self.config[self.command]["model"]["head"] = settings.head
        return settings

    @property
    def n_processes(self) -> int:
        """That train at a time."""
        return 1

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Log to ``runs/<data>/version_N`` unless another logger is asked for."""
        settings, plan = self._get(self.config_init, "trainer"), self._schedule()
        every = settings["check_val_every_n_epoch"]
        kwargs["max_epochs"] = plan.max_epochs
        kwargs["check_val_every_n_epoch"] = plan.validate_every if every == 1 else every
        stopping = self._get(self.config_init, "early_stopping")  # Lightning counts validations
        if stopping.monitor == MONITORED:
            stopping.monitor = self.model.monitored
        stopping.patience = max(1, stopping.patience // (kwargs["check_val_every_n_epoch"] or 1))
        if self.subcommand == "fit" and settings["accelerator"] in ("cpu", "auto"):
            kwargs["accelerator"] = accelerator(self.model.head, self.datamodule.device)
            if kwargs["accelerator"] != "cpu" and settings["devices"] == "auto":
                kwargs["devices"] = 1
        kwargs["plugins"] = [*(settings["plugins"] or []), RunCheckpoints()]
        if settings["logger"] in (None, True):
            name = self.datamodule.name if self.subcommand == "fit" else f"{self.datamodule.name}_{self.subcommand}"
            folder = settings["default_root_dir"] or RUNS
            logger = RunLogger.at(self.run_dir) if self.run_dir else RunLogger(folder, name=name)
            kwargs["logger"] = logger if self.subcommand != "predict" else False
        callbacks: list[Callback] = []
        if self.subcommand == "fit":
            plain: dict[str, Any] = {"enable_version_counter": False}
            callbacks.append(ResumedCheckpoint(monitor=self.model.monitored, mode="min", filename="best", **plain))
            callbacks.append(ResumedCheckpoint(filename="last", **plain))  # every epoch, with the best one's state
            callbacks.append(TrainingProgress())
        else:
            kwargs["enable_checkpointing"] = False
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(self._get(self.config_init, "output"), self.level))
        for option in ("enable_model_summary", "enable_progress_bar"):
            if settings[option] is None:
                kwargs[option] = False  # gate and head are a handful of numbers, and most epochs take no second
        given = settings["callbacks"] or []
        kwargs["callbacks"] = [*([given] if isinstance(given, Callback) else given), *callbacks]
        return super().instantiate_trainer(**kwargs)

    def fit(
        self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str | None = None, **rest: Any
    ) -> None:
        """Train by the same road as the estimator, and write the run folder."""
        targets = datamodule.target_columns

        def before_refit() -> RunReport:
            return evaluate(model, datamodule, targets, parts=("train", "val"), level=self.level)

        with in_order(self.trainer, self.command):
            before = train(
                self.trainer,
                model,
                datamodule,
                seed=self.seed,
                before_refit=before_refit,
                refit=self._get(self.config_init, "refit"),
                ckpt_path=ckpt_path,
            )
            report = before.joined(evaluate(model, datamodule, targets, parts=("test",), level=self.level))
            best = checkpoints_folder(self.trainer) / "best.ckpt"
            self.trainer.save_checkpoint(best, weights_only=True)  # the optimiser's state is in last.ckpt
            self._report(report, best.parent.parent, checkpoint=str(best), checks=datamodule.checks)

    def validate(self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str, **rest: Any) -> None:
        """Write what a fit writes, of the validation rows."""
        self._score(model, datamodule, ckpt_path, part="val")

    def test(self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str, **rest: Any) -> None:
        """Write what a fit writes, of the test rows."""
        self._score(model, datamodule, ckpt_path, part="test")

    def _score(self, model: MixtureOfExperts, data: CrystalDataModule, checkpoint: str, *, part: str) -> None:
        with in_order(self.trainer, self.command):
            report = score(model, data, Path(checkpoint), part=part, level=self.level)
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, SaveConfigCallback):
                    callback.setup(self.trainer, model, stage=part)
            self._report(report, Path(self.trainer.log_dir or "."))

    def predict(self, model: MixtureOfExperts, datamodule: CrystalDataModule, **given: Any) -> None:
        """Predict, and say where the predictions are and what is missing."""
        if is_sharded(self.sharding):
            checkpoint, output = self._get(self.config, "ckpt_path"), self._get(self.config, "output")
            data, device, level = datamodule.settings, datamodule.device, self.level
            self.facts = predict_in_parts(
                checkpoint, self.sharding, data=data, device=device, output=output, level=level
            )
            return
        with in_order(self.trainer, self.command):
            self.trainer.predict(model, datamodule=datamodule, **given)
        writer = next(c for c in self.trainer.callbacks if isinstance(c, PredictionWriter))  # type: ignore[attr-defined]
        self.facts = tell_predictions(
            {"rows": writer.rows, "in_sample": writer.in_sample, "outside": writer.outside},
            writer.first,
            units={target: model.hparams["units"].get(target, "") for target in model.hparams["targets"]},
            level=self.level,
            left_out=datamodule.left_out,
            path=writer.path,
        )

    def _report(
        self, report: RunReport, folder: Path, *, checkpoint: str | None = None, checks: DataChecks | None = None
    ) -> None:
        data = cast(CrystalDataModule, self.datamodule)
        seed, used = self._get(self.config, "seed_everything"), checkpoint or str(self._get(self.config, "ckpt_path"))
        write_run(folder, report, seed=seed, left_out=data.left_out, checks=checks)
        commands = commands_of_run(self.command, self.given, data, folder=folder, checkpoint=used)
        page = page_of_run(report, self.model, data, folder, level=self.level, seed=seed, commands=commands)
        print_report(report, data=data, folder=folder, checkpoint=checkpoint, page=page)
        if self.command == "fit" and (advice := advice_on_one_split(report.rows, data.settings, self.given)):
            screen.text(advice)
        self.facts = run_facts(report, data=data, folder=folder, checkpoint=checkpoint, page=page)


def run_lightning(arguments: Sequence[str]) -> Facts:
    """Run one of Lightning's subcommands; returns what was done."""
    return MoeMatCLI(arguments[0], **cli_settings(arguments[0], arguments)).facts
