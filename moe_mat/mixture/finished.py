"""Finished models are read from their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from moe_mat.mixture.checkpoints import check_run_checkpoint, read_run_checkpoint
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.settings import MixtureSettings


def load_finished(path: Path, *, experts: Sequence[str] | None = None) -> MixtureOfExperts:
    """The model of a checkpoint, in eval mode.

    Args:
        path: The checkpoint.
        experts: What finds its experts, where that is not as the checkpoint has it.

    Raises:
        WeightsError: When it is no checkpoint of a run, damaged, or not finished; names the file and the remedy.
        CardError: When its experts have changed or are not there.
    """
    check_run_checkpoint(path, resumes=False, given={})
    content = read_run_checkpoint(path)
    known = {field.name for field in fields(MixtureSettings)}
    settings = {name: value for name, value in content["hyper_parameters"].items() if name in known}
    model = MixtureOfExperts(**(settings if experts is None else {**settings, "experts": list(experts)}))
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    return model.eval()
