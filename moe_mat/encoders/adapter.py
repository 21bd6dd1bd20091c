"""Adapters: small bottlenecks between the layers of a pretrained encoder (Houlsby et al., ICML 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """``h + W_up silu(W_down h + b_down) + b_up``, which is ``h`` until it is trained.

    Args:
        width: Width of the features.
        bottleneck: Width between both matrices.

    Raises:
        ValueError: When the bottleneck has no width.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        if bottleneck < 1:
            raise ValueError(f"the adapter's bottleneck is {bottleneck} wide: use at least 1, or null for no adapter")
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``[n, width]`` to features of the same width."""
        return features + self.up(F.silu(self.down(features)))


def adapter_names(names: Iterable[str]) -> set[str]:
    """Those of an encoder's parameters that belong to its adapters.

    Example:
        >>> adapter_names(["convs.0.adapter.up.bias", "convs.0.bn1.bias"])
        {'convs.0.adapter.up.bias'}
    """
    return {name for name in names if {"adapter", "adapters"} & set(name.split("."))}
