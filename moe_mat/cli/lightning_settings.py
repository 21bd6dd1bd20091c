"""What LightningCLI is told, the same for all commands that are its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning.cli import SaveConfigCallback

from moe_mat.cli.run_options import COMMANDS


def cli_settings(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What LightningCLI is told for a command.

    Args:
        command: Its name in messages.
        arguments: Those of the command line; the first one is Lightning's subcommand.
    """
    settings = {
        "prog": f"moe-mat {command}",
        "description": COMMANDS[command],
        "default_env": False,
        "exit_on_error": False,  # or the message comes after a hundred lines of usage
    }
    return {
        "args": list(arguments),
        "seed_everything_default": 0,
        "save_config_callback": SaveConfigCallback,
        "save_config_kwargs": {"overwrite": True},
        # Checkpoints hold plain data, and so load with weights_only=True.
        "load_from_checkpoint_support": False,
        "auto_configure_optimizers": False,
        "trainer_defaults": {"accelerator": "cpu", "log_every_n_steps": 1, "num_sanity_val_steps": 0},
        "parser_kwargs": {"prog": "moe-mat", "exit_on_error": False, arguments[0]: settings},
    }
