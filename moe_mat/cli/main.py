"""The command line: Lightning's subcommands for training, and the package's own beside them."""

from __future__ import annotations

import logging
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence

from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from rich.logging import RichHandler

from moe_mat.cli import commands
from moe_mat.cli.run_options import COMMANDS, TRAINER_HELP, show_help, show_trainer_help
from moe_mat.crystals.datasets import FetchError


def _usage() -> str:
    lines = ["usage: moe-mat <command> [options]", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in {**COMMANDS, **commands.summaries()}.items()]
    return "\n".join([*lines, "", "moe-mat <command> --help tells the options of one."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``moe-mat``; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    logging.basicConfig(format="%(message)s", handlers=[handler])
    logging.getLogger("moe_mat").setLevel(logging.INFO)
    logging.getLogger("moe_mat.zoo.cache").setLevel(logging.WARNING)  # its hits and misses come summed up
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # advertisements
    for noise in (
        "`isinstance\\(treespec, LeafSpec\\)",
        "Be aware that when using `ckpt_path`, callbacks",
        "No Pauling",
        "Found \\d+ module\\(s\\) in eval mode",  # frozen statistics are meant
    ):
        warnings.filterwarnings("ignore", message=noise)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage() + "\n")
        return 0 if arguments else 2
    try:
        if arguments[0] in COMMANDS and TRAINER_HELP in arguments:
            show_trainer_help(arguments[0])
        elif arguments[0] in COMMANDS and {"-h", "--help"} & set(arguments):
            show_help(arguments[0])
        elif arguments[0] in COMMANDS:
            from moe_mat.cli.lightning import run_lightning

            run_lightning(arguments)
        else:
            commands.run(arguments)
    except ArgumentError as error:
        reason = " ".join(str(error).split())
        sys.stderr.write(f"moe-mat {arguments[0]}: {reason} (moe-mat {arguments[0]} --help tells the options)\n")
        return 2
    except (ValueError, OSError, ImportError, KeyError, FetchError, MisconfigurationException) as error:
        logging.getLogger(__name__).debug("", exc_info=True)
        sys.stderr.write(f"moe-mat {arguments[0]}: {error.args[0] if isinstance(error, KeyError) else error}\n")
        return 1
    return 0
