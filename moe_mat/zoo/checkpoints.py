"""Checkpoints of torch and Lightning: read as data, refused where they hold code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from moe_mat.zoo.weights import WeightsError


def read_checkpoint(path: Path) -> Any:
    """Read a file of ``torch.save`` that holds nothing but tensors, numbers, text and containers of them.

    Raises:
        WeightsError: When the file is missing, damaged, or asks for anything else, which could run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"there is no file {path}") from error
    except Exception as error:  # damaged files make the reader fail in a dozen ways
        # Not torch's whole message: it goes on to advise loading without the safeguard.
        found = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        reason = f"it asks for {found[1]}" if found else type(error).__name__
        raise WeightsError(
            f"{path} is refused: it is damaged, or holds more than tensors and numbers and might run code ({reason})"
        ) from error
