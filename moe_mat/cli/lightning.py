"""Lightning's subcommands: fit, validate, test and predict."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from rich.table import Column, Table

from moe_mat.cli.run_options import COMMANDS, PATIENCE, add_run_options
from moe_mat.files.whole import whole_file
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.checkpoints import check_run_checkpoint
from moe_mat.mixture.data import QUICKSTART_TARGET, CrystalDataModule
from moe_mat.mixture.heads.base import get_head
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.run_folder import RunReport, evaluate, write_run
from moe_mat.mixture.settings import DataSettings, MixtureSettings, TrainingSettings
from moe_mat.mixture.training import MONITORED, member_seeds, new_model, schedule, train

# Experts below this gate weight are summed up on the screen; gate_weights.csv has them all.
SHOWN_WEIGHT = 0.005


class PredictionWriter(Callback):
    """Writes predictions as they come, so that any number of crystals fits into memory.

    Args:
        path: CSV file to write.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows = 0
        self.whole = ExitStack()  # what went wrong may have gone wrong before the first prediction

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        part = self.whole.enter_context(whole_file(self.path))
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

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: D102
        self.whole.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: D102
        self.whole.__exit__(type(exception), exception, exception.__traceback__)


class BestCheckpoint(ModelCheckpoint):
    """The epoch with the best validation MAE; a resumed run remembers that of the interrupted one."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, although a resumed run writes into a folder of its own."""
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


class MoeMatCLI(LightningCLI):
    """LightningCLI with the mixture, its data and its run folder."""

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add data and model, which a reader of the help looks for first, and Lightning's own options after them."""
        add_run_options(parser)
        parser.add_argument("--output", type=str, default="predictions.csv", help="CSV file that predict writes.")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(
            {"early_stopping.monitor": MONITORED, "early_stopping.mode": "min", "early_stopping.patience": PATIENCE}
        )
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{name}": value for name, value in self.trainer_defaults.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and look at the checkpoint before Lightning does: its message on a hostile one is bad advice."""
        super().parse_arguments(parser, args)
        checkpoint = self.config[self.config.subcommand].get("ckpt_path")
        if checkpoint and Path(checkpoint).is_file():
            check_run_checkpoint(Path(checkpoint))

    def before_instantiate_classes(self) -> None:
        """Tell data, model and trainer what they need to know of each other."""
        config = self.config[self.subcommand]
        data, model, trainer = config["data"], config["model"], config["trainer"]
        if self.subcommand != "fit" and not config.get("ckpt_path"):
            raise ValueError("a trained model is needed: name its checkpoint with --ckpt_path")
        if self.subcommand == "predict" and data["path"] is None and data["dataset"] is None:
            raise ValueError("no crystals are given: name their file or folder with --data.path")
        if data["target"] is None:
            if config.get("ckpt_path"):
                data["target"] = model["targets"]
            elif data["path"] is None and data["dataset"] is None:
                data["target"] = QUICKSTART_TARGET
        if data["target"] is not None:
            model["targets"] = [data["target"]] if isinstance(data["target"], str) else data["target"]
        config["weights_only"] = True  # a checkpoint is data; one that holds code is refused
        if self.subcommand == "predict":
            config["return_predictions"] = False  # they are written as they come
            self.save_config_callback = None  # there is no run folder, and the working folder is not ours
        if self.subcommand == "test":
            config["verbose"] = False  # the report says it all
        head = get_head(model["head"])
        if head.full_batch:
            if trainer["accelerator"] not in ("cpu", "auto"):
                raise ValueError(
                    f"the {head.name} head is solved on the CPU: leave out --trainer.accelerator, or use another head"
                )
            trainer["accelerator"] = "cpu"
        plan = schedule(head, TrainingSettings(max_epochs=trainer["max_epochs"]))
        trainer["max_epochs"] = plan.max_epochs
        if trainer["check_val_every_n_epoch"] == 1:
            trainer["check_val_every_n_epoch"] = plan.validate_every

    def instantiate_classes(self) -> None:
        """Make data and model from their settings: the model's first weights are those that the estimator starts at."""
        self.config_init = self.parser.instantiate_classes(self.config)
        # Lightning counts validations. The saved configuration keeps the epochs, or its repetition would stop earlier.
        stopping, trainer = self._get(self.config_init, "early_stopping"), self._get(self.config_init, "trainer")
        stopping.patience = max(1, stopping.patience // (trainer["check_val_every_n_epoch"] or 1))
        settings: MixtureSettings = self._get(self.config_init, "model")
        data: DataSettings = self._get(self.config_init, "data")
        seed = self._get(self.config, "seed_everything")
        (self.seed,) = member_seeds(seed if isinstance(seed, int) else torch.initial_seed() % 2**31, 1)
        self.datamodule = CrystalDataModule(data, experts=settings.experts, trainable=settings.trainable)
        self.model = new_model(settings, seed=self.seed)
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Log to ``runs/<data>/version_N`` unless another logger is asked for."""
        settings = self._get(self.config_init, "trainer")
        if settings["logger"] in (None, True):
            folder = settings["default_root_dir"] or "runs"
            name = self.datamodule.name if self.subcommand == "fit" else f"{self.datamodule.name}_{self.subcommand}"
            kwargs["logger"] = CSVLogger(folder, name=name) if self.subcommand != "predict" else False
        callbacks: list[Callback] = [RichProgressBar(leave=False)] if sys.stderr.isatty() else []
        if self.subcommand == "fit":
            plain: dict[str, Any] = {"enable_version_counter": False}
            callbacks.append(BestCheckpoint(monitor=MONITORED, mode="min", filename="best", **plain))
            callbacks.append(ModelCheckpoint(filename="last", **plain))  # every epoch, with the best one's state
        elif self.subcommand == "predict":
            callbacks.append(PredictionWriter(self._get(self.config_init, "output")))
        if settings["enable_model_summary"] is None:
            kwargs["enable_model_summary"] = False  # gate and head are a handful of numbers
        given = settings["callbacks"] or []
        kwargs["callbacks"] = [*([given] if isinstance(given, Callback) else given), *callbacks]
        if not sys.stderr.isatty() and settings["enable_progress_bar"] is None:
            kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(**kwargs)

    def fit(
        self, model: MixtureOfExperts, datamodule: CrystalDataModule, ckpt_path: str | None = None, **rest: Any
    ) -> None:
        """Train by the same road as the estimator, and write the run folder."""

        def before_refit() -> RunReport:
            return evaluate(model, datamodule, datamodule.target_columns, parts=("train", "val"))

        before = train(self.trainer, model, datamodule, seed=self.seed, before_refit=before_refit, ckpt_path=ckpt_path)
        report = before.joined(evaluate(model, datamodule, datamodule.target_columns, parts=("test",)))
        best = Path(str(cast(ModelCheckpoint, self.trainer.checkpoint_callback).dirpath)) / "best.ckpt"
        self.trainer.save_checkpoint(best, weights_only=False)  # the whole state, as Lightning wrote it
        self._report(report, str(best))

    def after_test(self) -> None:
        """Write what a fit writes, for the checkpoint that was tested."""
        data = cast(CrystalDataModule, self.datamodule)
        model = cast(MixtureOfExperts, self.model).cpu()
        self._report(evaluate(model, data, data.target_columns, parts=("test",)), None)

    def _report(self, report: RunReport, checkpoint: str | None) -> None:
        data = cast(CrystalDataModule, self.datamodule)
        folder = Path(self.trainer.log_dir or ".")
        write_run(folder, report, seed=self._get(self.config, "seed_everything"), left_out=data.left_out)
        print_report(report, data=data, folder=folder, checkpoint=checkpoint)

    def after_predict(self) -> None:
        """Say where the predictions are and what is missing."""
        data = cast(CrystalDataModule, self.datamodule)
        writer = next(c for c in self.trainer.callbacks if isinstance(c, PredictionWriter))  # type: ignore[attr-defined]
        console = Console()
        console.print(f"{writer.rows} predictions in [bold]{writer.path}[/bold]")
        if data.left_out:
            console.print(f"{len(data.left_out)} crystals left out:")
            for left_out in data.left_out:
                console.print(f"  {left_out}", highlight=False, markup=False, soft_wrap=True)


def print_report(report: RunReport, *, data: CrystalDataModule, folder: Path, checkpoint: str | None) -> None:
    """Show the split, the errors beside those of the training median, and the gate weights."""
    console = Console()
    rows = ", ".join(f"{count} {part}" for part, count in report.rows.items())
    console.print(f"\n[bold]{data.name}[/bold]: {rows} rows; {len(data.left_out)} crystals left out")
    if data.left_out:
        console.print(
            f"  first: {data.left_out[0]}; all in left_out.csv", highlight=False, markup=False, soft_wrap=True
        )
    scores = Table(Column("target", overflow="fold"), "part", "rows", "MAE", "MAE of the training median", "RMSE", "R2")
    for row in report.metrics.to_dict("records"):
        numbers = [f"{row[name]:.4g}" for name in ("mae", "median_mae", "rmse", "r2")]
        style = "bold" if row["part"] == "test" else None
        scores.add_row(str(row["target"]), str(row["part"]), str(row["n"]), *numbers, style=style)
    console.print(scores)
    weights = Table("expert", "gate weight")
    ordered = sorted(report.gate_weights.items(), key=lambda item: -item[1])
    shown = [(tag, weight) for tag, weight in ordered if weight >= SHOWN_WEIGHT]
    for tag, weight in shown:
        weights.add_row(tag, f"{weight:.3f}")
    if hidden := len(ordered) - len(shown):
        weights.add_row(f"{hidden} others", f"{sum(weight for _, weight in ordered[len(shown) :]):.3f}")
    console.print(weights)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    if checkpoint:
        command = f"moe-mat predict --ckpt_path {checkpoint} --data.path <crystals>"
        console.print(f"predict new crystals: {command}", highlight=False, soft_wrap=True)


def run_lightning(arguments: Sequence[str]) -> None:
    """Run one of Lightning's subcommands."""
    MoeMatCLI(
        args=None if list(arguments) == sys.argv[1:] else list(arguments),
        seed_everything_default=0,
        save_config_callback=SaveConfigCallback,
        save_config_kwargs={"overwrite": True},
        # Checkpoints hold plain data, and so load with weights_only=True.
        load_from_checkpoint_support=False,
        auto_configure_optimizers=False,
        trainer_defaults={"accelerator": "cpu", "log_every_n_steps": 1, "num_sanity_val_steps": 0},
        parser_kwargs={
            "prog": "moe-mat",
            "exit_on_error": False,
            **{
                name: {
                    "prog": f"moe-mat {name}",
                    "description": text,
                    "default_env": False,
                    "exit_on_error": False,  # or the message comes after a hundred lines of usage
                }
                for name, text in COMMANDS.items()
            },
        },
    )
