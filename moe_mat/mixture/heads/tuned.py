"""What is trained of the experts, whatever of them that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class TunedExperts(nn.Module, ABC):
    """Trainable copies of experts, or of parts of them.

    Attributes:
        moves: Whether they compute on a GPU as well, see `moe_mat.encoders.Encoder`.
    """

    moves: bool = True

    @property
    def device(self) -> torch.device:
        """Where they compute."""
        return next(self.parameters()).device

    @abstractmethod
    def forward(self, batch: Any, chosen: Collection[int]) -> dict[int, Tensor]:
        """Embeddings of the chosen experts: index to ``[n_crystals, dim]``.

        Args:
            batch: What these experts read of some crystals, see `moe_mat.mixture.crystal_inputs`.
            chosen: Indices of experts.
        """

    @contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        """Compute on a device for a while, if they can."""
        before = self.device
        self._place(device if self.moves else before)
        try:
            yield
        finally:
            self._place(before)

    def _place(self, device: torch.device) -> None:
        with torch.inference_mode(False):  # weights that are moved in it could not be trained any more
            self.to(device)
