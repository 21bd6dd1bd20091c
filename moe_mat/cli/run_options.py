"""The options of fit, validate, test and predict that are ours, and their help, which needs nothing heavy."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser

from moe_mat.cli.options import FoldOptions, ShardOptions, TuneOptions, add_manner_options
from moe_mat.encoders.devices import Device
from moe_mat.mixture.settings import DEFAULT_LEVEL, DataSettings, MixtureSettings, TrainingSettings

COMMANDS = {
    "fit": "Train gate and head on your crystals; with no arguments, on the embedded quickstart.",
    "validate": "Score a checkpoint on the validation rows.",
    "test": "Score a checkpoint on the test rows.",
    "predict": "Predict new crystals with a checkpoint, into a file or a folder of parts.",
    "crossval": "Cross-validate what fit trains: the error on each fold, with mean and spread.",
    "tune": "Compare experts, heads and settings by cross-validation, in a given number of minutes.",
}
TRAINER_HELP = "--help.trainer"
PATIENCE = TrainingSettings.patience
# Commands that train many folds, and their options.
BY_FOLDS: dict[str, type[FoldOptions]] = {"crossval": FoldOptions, "tune": TuneOptions}
_CROSSVAL_EXAMPLES = """
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
_TUNE_EXAMPLES = """
examples:
  moe-mat tune my.csv --target band_gap --minutes 10 --output tuned
  moe-mat tune my.csv --target band_gap --minutes 30 --output tuned          goes on for twenty more
  moe-mat tune my.csv --target band_gap --search.experts '[default, light, [magpie, symmetry]]' --search.head '[mlp]'
  moe-mat fit --config tuned/best.yaml                                       the best, or the defaults if none is better

The first trial has the settings that are given, by default those of the product. All trials have the same folds, of the
rows that are not test rows of the split: these stay unseen, and fit --config tuned/best.yaml scores on them. The folder
gets tuning.json (settings and numbers), trials.csv (one row a trial), best.yaml and splits.json.
"""
EXAMPLES = {"crossval": _CROSSVAL_EXAMPLES, "tune": _TUNE_EXAMPLES}


def add_run_options(parser: ArgumentParser) -> None:
    """Add data and model, the first that a reader of the help looks for."""
    parser.add_class_arguments(DataSettings, "data", sub_configs=False)
    parser.add_class_arguments(MixtureSettings, "model", sub_configs=False)
    help_text = "Folder of this run, in place of runs/<data>/version_N; it must be new. Of fit, validate and test."
    parser.add_argument("--run_dir", type=str | None, default=None, metavar="FOLDER", help=help_text)
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
    if command in BY_FOLDS:
        parser.add_class_arguments(BY_FOLDS[command], sub_configs=False)
    if command == "predict":
        text = "File to write: Parquet by its name, else CSV; with --shards or --engine, folder of parts."
        parser.add_argument("--output", type=str, default="predictions.csv", help=text)
        parser.add_class_arguments(ShardOptions, sub_configs=False)


def help_parser(command: str) -> ArgumentParser:
    """The options of a command that are ours."""
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
    if command in BY_FOLDS:
        add_own_options(parser, command)
    else:
        parser.add_argument("--ckpt_path", metavar="FILE", help=path)
    add_run_options(parser)
    if command not in BY_FOLDS:
        add_own_options(parser, command)
    parser.add_argument(
        "--allow_import",
        metavar="MODULE",
        help="A module whose classes may be named, such as callbacks of your own; may be repeated.",
    )
    add_manner_options(parser)
    return parser


def show_help(command: str) -> None:
    """Print the help of a command, without the options of Lightning's Trainer."""
    help_parser(command).print_help()
    sys.stdout.write(EXAMPLES.get(command, ""))


def trainer_parser(command: str) -> ArgumentParser:
    """The options that Lightning's Trainer and its early stopping have."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.callbacks import EarlyStopping
    from pytorch_lightning.cli import LightningArgumentParser

    usage, description = f"moe-mat {command} [options]", "Options of Lightning's Trainer and of early stopping."
    parser = LightningArgumentParser(prog=f"moe-mat {command}", usage=usage, description=description)
    parser.add_lightning_class_args(EarlyStopping, "early_stopping")
    parser.add_lightning_class_args(Trainer, "trainer")
    return parser


def show_trainer_help(command: str) -> None:
    """Print the options that Lightning's Trainer and its early stopping have."""
    trainer_parser(command).print_help()
