"""Modules that keep as much as they were trained on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class GrowingModule(nn.Module):
    """A module whose buffers are as large as the training data were, and are so again when a checkpoint is loaded."""

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            if f"{prefix}{name}" in state:
                setattr(self, name, torch.empty_like(state[f"{prefix}{name}"], device=buffer.device))
        super()._load_from_state_dict(state, prefix, *rest)
