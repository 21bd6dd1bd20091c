"""The options of fit, validate, test and predict that are ours, and their help, which needs nothing heavy."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser

from moe_mat.cli.options import FoldOptions, ShardOptions, add_manner_options
from moe_mat.encoders.devices import Device
from moe_mat.mixture.settings import DEFAULT_LEVEL, DataSettings, MixtureSettings, TrainingSettings

COMMANDS = {
    "fit": "Train gate and head on your crystals; with no arguments, on the embedded quickstart.",
    "validate": "Score a checkpoint on the validation rows.",
    "test": "Score a checkpoint on the test rows.",
    "predict": "Predict new crystals with a checkpoint, into a file or a folder of parts.",
    "crossval": "Cross-validate what fit trains: the error on each fold, with mean and spread.",
}
TRAINER_HELP = "--help.trainer"
PATIENCE = TrainingSettings.patience
CROSSVAL_EXAMPLES = """
examples:
  moe-mat crossval my.csv --target band_gap                                 five random folds
  moe-mat crossval my.csv --target band_gap --folds 10 --repeats 3 --workers 4
  moe-mat crossval my.csv --target band_gap --group formula                 no formula is in two folds; also structure,
                                                                            chemical_system, cluster, column:NAME
  moe-mat crossval my.csv --target band_gap --order year                    trained on the past, tested on what follows

--data.split is the seed of the folds, --data.fractions gives the share of validation rows among those of the training,
--seed_everything is the seed of the training. Of Lightning's options, trainer.max_epochs and early_stopping.patience
are taken. The folder gets crossval.json (settings and numbers), predictions.csv (each crystal by a model that has not
seen it) and splits.json, with which fit repeats a fold: --data.splits crossval/splits.json --data.split 2, the third.
"""


def add_run_options(parser: ArgumentParser) -> None:
    """Add data and model, the first that a reader of the help looks for."""
    parser.add_class_arguments(DataSettings, "data", sub_configs=False)
    parser.add_class_arguments(MixtureSettings, "model", sub_configs=False)
    help_text = "Share of new crystals whose value lies in its interval, <target>_lower to <target>_upper."
    parser.add_argument("--level", type=float, default=DEFAULT_LEVEL, help=help_text)
    parser.add_argument(
        "--refit",
        type=bool,
        default=TrainingSettings.refit,
        help="Of fit: whether a head that can learns from the validation rows too, when everything is chosen.",
    )
    help_text = "Where encoders, and heads that learn by batches, compute: cpu, cuda or auto, a GPU if there is one."
    parser.add_argument("--device", type=Device, default=TrainingSettings.device, help=help_text)


def add_own_options(parser: ArgumentParser, command: str) -> None:
    """Add the options that one command has and the others have not."""
    if command == "crossval":
        parser.add_class_arguments(FoldOptions, sub_configs=False)
    if command == "predict":
        text = "File to write: Parquet by its name, else CSV; with --shards or --engine, folder of parts."
        parser.add_argument("--output", type=str, default="predictions.csv", help=text)
        parser.add_class_arguments(ShardOptions, sub_configs=False)


def show_help(command: str) -> None:
    """Print the help of a command, without the options of Lightning's Trainer."""
    parser = ArgumentParser(
        prog=f"moe-mat {command}",
        usage=f"moe-mat {command} [crystals] [options]",
        description=COMMANDS[command],
        epilog=(
            "Crystals are a file or a folder; data. may be left out, as in --target band_gap. Options of Lightning's "
            f"Trainer and of early stopping: moe-mat {command} {TRAINER_HELP}"
        ),
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML file with any of these options.")
    parser.add_argument("--print_config", action="store_true", help="Print the configuration and exit.")
    parser.add_argument("--seed_everything", metavar="SEED", default=0, help="Of everything random.")
    path = "Checkpoint of an interrupted run to go on from." if command == "fit" else "Checkpoint of the trained model."
    if command == "crossval":
        add_own_options(parser, command)
    else:
        parser.add_argument("--ckpt_path", metavar="FILE", help=path)
    add_run_options(parser)
    if command != "crossval":
        add_own_options(parser, command)
    parser.add_argument(
        "--allow_import",
        metavar="MODULE",
        help="A module whose classes may be named, such as callbacks of your own; may be repeated.",
    )
    add_manner_options(parser)
    parser.print_help()
    if command == "crossval":
        sys.stdout.write(CROSSVAL_EXAMPLES)


def show_trainer_help(command: str) -> None:
    """Print the options that Lightning's Trainer and its early stopping have."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.callbacks import EarlyStopping
    from pytorch_lightning.cli import LightningArgumentParser

    usage, description = f"moe-mat {command} [options]", "Options of Lightning's Trainer and of early stopping."
    parser = LightningArgumentParser(prog=f"moe-mat {command}", usage=usage, description=description)
    parser.add_lightning_class_args(EarlyStopping, "early_stopping")
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.print_help()
