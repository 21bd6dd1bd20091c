"""Target transforms: fitted on training rows, kept in the checkpoint, inverted in every reported number."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Transform = Literal["none", "standardise", "log", "asinh"]


class TargetTransform(nn.Module):
    """An invertible map of the targets; each column has its own constants.

    ========================  =====================================================
    ``none``                  y
    ``standardise``           (y - mean) / std
    ``log``                   ln y, standardised; for positive targets
    ``asinh``                 asinh(y / median of abs(y)), standardised; for heavy tails of either sign
    ========================  =====================================================

    Args:
        kind: The map.
        n_targets: Number of columns.

    Example:
        >>> transform = TargetTransform("standardise", 1)
        >>> transform.fit(torch.tensor([[1.0], [2.0], [3.0], [float("nan")]]))
        >>> transform.inverse(transform(torch.tensor([[5.0]])))
        tensor([[5.]])
    """

    median: Tensor
    mean: Tensor
    std: Tensor
    spread: Tensor

    def __init__(self, kind: Transform, n_targets: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("median", torch.ones(n_targets))
        self.register_buffer("mean", torch.zeros(n_targets))
        self.register_buffer("std", torch.ones(n_targets))
        # Standard deviation of the training targets in their units, whatever the map.
        self.register_buffer("spread", torch.ones(n_targets))

    def fit(self, targets: Tensor) -> None:
        """Set the constants from training targets ``[n, n_targets]``; NaN means no value.

        Raises:
            ValueError: When a column has no value, or ``log`` meets one that is not positive.
        """
        for column, values in enumerate(targets.double().unbind(1)):
            values = values[values.isfinite()]
            if not len(values):
                raise ValueError(f"target {column} has no value in the training rows")
            self.spread[column] = values.std(correction=0).clamp_min(1e-12)
            if self.kind == "log" and (values <= 0).any():
                raise ValueError(
                    f"target {column} has {int((values <= 0).sum())} training values that are not positive: "
                    "use transform 'asinh' or 'standardise' and not 'log'"
                )
            if self.kind == "asinh":
                # More than half zeros would make the median useless as a scale.
                scale = values.abs().median()
                self.median[column] = scale if scale > 0 else values.abs().mean().clamp_min(1e-12)
            if self.kind != "none":
                bent = self._bend(values, self.median[column].double())
                self.mean[column] = bent.mean()
                # A constant target stays at its value, whatever the network says.
                self.std[column] = bent.std(correction=0).clamp_min(1e-12)

    def _bend(self, values: Tensor, median: Tensor) -> Tensor:
        if self.kind == "log":
            return values.log()
        return (values / median).asinh() if self.kind == "asinh" else values

    def forward(self, targets: Tensor) -> Tensor:
        """Targets ``[n, n_targets]`` in their units to what the head learns."""
        return (self._bend(targets, self.median) - self.mean) / self.std

    def inverse(self, outputs: Tensor) -> Tensor:
        """What the head says ``[n, n_targets]`` to targets in their units."""
        bent = outputs * self.std + self.mean
        if self.kind == "log":
            return bent.exp()
        return bent.sinh() * self.median if self.kind == "asinh" else bent
