"""Checkpoints of our runs."""

from __future__ import annotations

from pathlib import Path

from moe_mat.zoo.checkpoints import read_checkpoint
from moe_mat.zoo.weights import WeightsError


def check_run_checkpoint(path: Path) -> None:
    """Make sure that a file is a checkpoint of one of our runs before Lightning opens it.

    Raises:
        WeightsError: When it is not; names the file.
    """
    content = read_checkpoint(path)
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not {"experts", "targets"} <= settings.keys() or "state_dict" not in content:
        raise WeightsError(f"{path} is not a checkpoint of moe-mat fit: pass best.ckpt or last.ckpt of a run folder")
