"""The command line: Lightning's subcommands for training, and the package's own beside them.

Nothing heavy is imported before a command runs: help and version are there at once.
"""

from __future__ import annotations

import logging
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from importlib.metadata import version

from rich.console import Console
from rich.logging import RichHandler

from moe_mat.cli.commands import LIGHTNING_COMMANDS, summaries
from moe_mat.cli.dispatch import run
from moe_mat.cli.run_options import TRAINER_HELP, show_help, show_trainer_help
from moe_mat.crystals.errors import FetchError


def _usage() -> str:
    lines = ["usage: moe-mat <command> [options]", "       moe-mat --version", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in summaries().items()]
    return "\n".join([*lines, "", "moe-mat <command> --help tells the options of one."])


def _run_lightning(arguments: Sequence[str]) -> None:
    """Run one of Lightning's commands, or show its help."""
    if TRAINER_HELP in arguments:
        show_trainer_help(arguments[0])
    elif {"-h", "--help"} & {*arguments}:
        show_help(arguments[0])
    else:
        from moe_mat.cli.lightning import run_lightning

        run_lightning(arguments)


def _refusals() -> tuple[type[Exception], ...]:
    """Errors that are told in a line; Lightning's own can only come where Lightning has been imported."""
    lightning = sys.modules.get("pytorch_lightning.utilities.exceptions")
    own = (ValueError, OSError, ImportError, KeyError, FetchError)
    return own if lightning is None else (*own, lightning.MisconfigurationException)


def _configure_messages() -> None:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``moe-mat``; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _configure_messages()
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"moe-mat {version('moe_mat')}\n")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage() + "\n")
        return 0 if arguments else 2
    try:
        if arguments[0] in LIGHTNING_COMMANDS:
            _run_lightning(arguments)
        else:
            run(arguments)
    except ArgumentError as error:
        reason = " ".join(str(error).split())
        sys.stderr.write(f"moe-mat {arguments[0]}: {reason} (moe-mat {arguments[0]} --help tells the options)\n")
        return 2
    except _refusals() as error:
        logging.getLogger(__name__).debug("", exc_info=True)
        sys.stderr.write(f"moe-mat {arguments[0]}: {error.args[0] if isinstance(error, KeyError) else error}\n")
        return 1
    return 0
