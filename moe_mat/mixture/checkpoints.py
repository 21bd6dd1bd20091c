"""Checkpoints of our runs: each carries the digest of its content, and knows whether its training is finished."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from moe_mat.files.whole import whole_file
from moe_mat.mixture.settings import MixtureSettings
from moe_mat.zoo.checkpoints import read_checkpoint
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.weights import WeightsError

DIGEST = "digest"
FINISHED = "finished"
LEARNED = "learned_crystals"
"""Entries of a checkpoint; the second is `None`, or what a finished model keeps of its training, the third, which older
ones lack, the names of the crystals that distances are measured from."""


def content_digest(content: object) -> str:
    """Hex SHA-256 of tensors, numbers, text and containers of them, the same after writing and reading.

    Example:
        >>> content_digest({"a": torch.zeros(2)}) == content_digest({"a": torch.tensor([0.0, -0.0])})
        False
    """
    found = hashlib.sha256()
    for piece in _pieces(content):
        found.update(len(piece).to_bytes(8, "little"))
        found.update(piece)
    return found.hexdigest()


def _pieces(content: object) -> Iterator[bytes]:
    if isinstance(content, Mapping):
        yield f"mapping of {len(content)}".encode()
        for key, value in content.items():
            yield repr(key).encode()
            yield from _pieces(value)
    elif isinstance(content, (list, tuple)):
        yield f"sequence of {len(content)}".encode()
        for value in content:
            yield from _pieces(value)
    elif isinstance(content, torch.Tensor):
        yield f"tensor {content.dtype} {tuple(content.shape)}".encode()
        yield content.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield repr(content).encode()


class RunCheckpoints(TorchCheckpointIO):
    """Writes checkpoints with the digest of their content, whole or not at all.

    Lightning writes them to the folder of temporary files and moves them. To another file system that is no more than a
    copy, of which a full disk or a kill leaves a half, where a whole checkpoint had been.
    """

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        content = {**checkpoint, DIGEST: content_digest(checkpoint)}
        if "://" in str(path):
            super().save_checkpoint(content, path, storage_options)
            return
        written = io.BytesIO()  # where a disk is full, torch would not say so
        torch.save(content, written)
        with whole_file(path) as part:
            part.write_bytes(written.getbuffer())


def read_intact_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `RunCheckpoints` wrote.

    Raises:
        WeightsError: When it is not as it was written; names the file.
    """
    content = read_checkpoint(path)
    if not isinstance(content, dict) or DIGEST not in content:
        raise WeightsError(f"{path} is not a checkpoint of this version's moe-mat")
    if content_digest({name: value for name, value in content.items() if name != DIGEST}) != content[DIGEST]:
        raise WeightsError(f"{path} is not as it was written: it is damaged or edited; restore it, or train anew")
    return content


def read_run_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of one of our runs.

    Raises:
        WeightsError: When it is none, or not as it was written; names the file.
    """
    content = read_intact_checkpoint(path)
    settings = content.get("hyper_parameters")
    known = isinstance(settings, dict) and {"experts", "targets"} <= settings.keys()
    if not known or not {"state_dict", FINISHED} <= content.keys():
        raise WeightsError(f"{path} is not of moe-mat fit: pass best.ckpt or last.ckpt of a run folder")
    return content


def check_run_checkpoint(path: Path, *, resumes: bool, given: Mapping[str, object]) -> None:
    """Make sure, before Lightning opens it, that a file is a checkpoint of one of our runs that serves its purpose.

    Args:
        path: The file.
        resumes: Whether a training is to go on from it, in place of using the model.
        given: Settings of the model by name: those that are not left at their default must be the checkpoint's.

    Raises:
        WeightsError: When it is none, damaged, or finished or unfinished where the other is needed; names the file and
            the remedy.
        ValueError: When settings are given that it does not have, which would be ignored; names them.
    """
    content = read_run_checkpoint(path)
    _check_settings(path, given, content["hyper_parameters"])
    finished = content[FINISHED] is not None
    if resumes and finished:
        raise WeightsError(f"{path} is finished: there is nothing to go on with; fit without --ckpt_path trains anew")
    if not resumes and not finished:
        raise WeightsError(f"{path} is of a training that is not finished, so it cannot predict: {_remedy(path)}")


def _check_settings(path: Path, given: Mapping[str, object], noted: Mapping[str, object]) -> None:
    defaults, other = MixtureSettings(), []
    for name, value in given.items():
        if name in ("targets", "units") or value == getattr(defaults, name):
            continue
        if name == "experts":
            value = [card.reference for card in find_cards(value if isinstance(value, str) else list(value))]  # type: ignore[call-overload]
        if _as_lists(value) != _as_lists(noted.get(name)):
            other.append(f"model.{name}")
    if other:
        raise ValueError(f"{path} was trained with other settings of {', '.join(other)}: leave them out, or fit anew")


def _as_lists(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _remedy(path: Path) -> str:
    best, last = path.with_name("best.ckpt"), path.with_name("last.ckpt")
    if best != path and best.is_file() and read_run_checkpoint(best)[FINISHED] is not None:
        return f"the finished model is {best}"
    config = path.parent.parent / "config.yaml"
    settings = f"--config {config}" if config.is_file() else "<the options of its fit>"
    return f"finish it by moe-mat fit {settings} --ckpt_path {last if last.is_file() else path}"
