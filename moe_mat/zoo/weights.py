"""Weights on disk: safetensors files, which hold tensors and nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from moe_mat.files.checksum import file_sha256
from moe_mat.files.whole import whole_file
from moe_mat.zoo.card_parts import WeightsFile


class WeightsError(ValueError):
    """Weights that are missing, damaged, of an unsafe format, or of another architecture."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; nothing else is accepted, because other formats can run code.

    Raises:
        WeightsError: When the file is missing, truncated, or of another format; names the file.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"the weights file {path} is missing") from error
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            start = file.read(64)
        if start[:1] == b"\x80" or start[:2] == b"PK":
            reason = "it is a pickle or torch.save file, which can run code; convert it with 'moe-mat experts import'"
        elif start.lstrip()[:1] == b"<":
            reason = "it is an HTML page, probably of a failed download; fetch it again"
        else:
            reason = f"it is truncated or damaged ({error}); fetch it again"
        raise WeightsError(f"{path} is not a usable safetensors file: {reason}") from error


def write_weights(weights: Mapping[str, Tensor], path: Path) -> WeightsFile:
    """Write a safetensors file, whole or not at all; returns the entry ``weights`` of its card."""
    with whole_file(path) as part:
        part.touch()
        usual = part.stat().st_mode
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, part)
        part.chmod(usual)  # save_file denies others to read it
    return WeightsFile(path.name, file_sha256(path))
