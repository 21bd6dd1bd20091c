"""What fit says where crystals are few: that one split says little, and which command says more."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from moe_mat.cli.grammar import Given
from moe_mat.mixture.settings import DataSettings

# With fewer labelled crystals than these, test errors on one split and on another differ by a quarter and more.
FEW_LABELLED = 300
# Options of Lightning that crossval takes as well.
TRAINING_OPTIONS = ("trainer.max_epochs", "early_stopping.patience")
_OF_FIT = ("trainer.", "early_stopping.", "ckpt_path", "print_config", "run_dir")


def advice_on_one_split(rows: Mapping[str, int], settings: DataSettings, given: Sequence[Given]) -> str | None:
    """A line that names the command of the cross-validation; ``None`` where crystals are many, or the split is given.

    Args:
        rows: Number of rows of each part.
        settings: Of the data.
        given: What was typed for fit.
    """
    n_rows = sum(rows.values())
    if settings.splits is not None or n_rows >= FEW_LABELLED:
        return None
    taken = [one for one in given if one.name in TRAINING_OPTIONS or not str(one.name).startswith(_OF_FIT)]
    command = shlex.join(["moe-mat", "crossval", *map(str, taken)])
    return f"one split says little: {rows['test']} test rows of {n_rows}; to test on every crystal: {command}"
