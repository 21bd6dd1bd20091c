"""Target transforms: fitted on training rows, kept in the checkpoint, inverted in every reported number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from moe_mat.mixture.settings import Transform

# The functions by their number in the checkpoint; all of them are standardised afterwards.
_FUNCTIONS = ("identity", "log", "asinh")
# A target is heavy-tailed, for ``auto``, when the skewness of its training values is beyond this.
SKEWED = 1.5
# Standard deviations, from quartiles, beyond which a value is an outlier to a Gaussian.
OUTLIER = 12.0


class TargetTransform(nn.Module):
    """An invertible map of the targets; each column has its own constants.

    ========================  =====================================================
    ``none``                  y
    ``standardise``           (y - mean) / std
    ``log``                   ln y, standardised; for positive targets, with a thousandth of the median for less
    ``asinh``                 asinh(y / median of abs(y)), standardised; for heavy tails of either sign
    ``auto``                  for each column: ``standardise``, or for skewed training values ``log`` where all are
                              positive and ``asinh`` where not
    ``indicator``             (y - mean) / std, outliers or not; for 0 and 1, and no setting
    ========================  =====================================================

    Mean and standard deviation are those of the values without outliers.

    Args:
        kind: The map.
        names: Of the columns.

    Raises:
        ValueError: When there is no such map.

    Example:
        >>> transform = TargetTransform("standardise", ["gap"])
        >>> transform.fit(torch.tensor([[1.0], [2.0], [3.0], [float("nan")]]))
        >>> transform.inverse(transform(torch.tensor([[5.0]])))
        tensor([[5.]])
    """

    function: Tensor
    median: Tensor
    mean: Tensor
    std: Tensor
    spread: Tensor
    limits: Tensor

    def __init__(self, kind: Transform | Literal["indicator"], names: Sequence[str]) -> None:
        super().__init__()
        if kind not in (*get_args(Transform), "indicator"):
            raise ValueError(f"unknown transform {kind!r}; known: {', '.join(get_args(Transform))}")
        self.kind, self.names, n_targets = kind, tuple(names), len(names)
        self.register_buffer("function", torch.zeros(n_targets, dtype=torch.long))
        self.register_buffer("median", torch.ones(n_targets))
        self.register_buffer("mean", torch.zeros(n_targets))
        self.register_buffer("std", torch.ones(n_targets))
        # Standard deviation of the training targets in their units, whatever the map.
        self.register_buffer("spread", torch.ones(n_targets))
        # Lowest and highest value that is no outlier, as mapped.
        self.register_buffer("limits", torch.tensor([[-torch.inf], [torch.inf]]).repeat(1, n_targets))

    def fit(self, targets: Tensor) -> None:
        """Set the constants from training targets ``[n, n_targets]``; NaN means no value.

        Raises:
            ValueError: When a column has no value, or ``log`` meets one that is not positive.
        """
        for column, (name, values) in enumerate(zip(self.names, targets.double().unbind(1), strict=True)):
            values = values[values.isfinite()]
            if not len(values):
                raise ValueError(f"target {name} has no value in the training rows")
            if self.kind == "log" and (values <= 0).any():
                raise ValueError(
                    f"target {name} has {int((values <= 0).sum())} training values that are not positive: "
                    "use transform 'asinh' or 'standardise' and not 'log'"
                )
            self.spread[column] = values.std(correction=0).clamp_min(1e-12)
            self.function[column] = _FUNCTIONS.index(_choose_function(self.kind, values))
            # With half the values near zero, such as gaps of metals, the median is no scale.
            scale, spread = values.abs().median(), values.std(correction=0)
            self.median[column] = scale if scale > 0.1 * spread else spread.clamp_min(1e-12)
            if self.kind == "none":
                continue
            mapped = self._mapped(values, column)
            if self.of_indicators:  # a rare class is no outlier
                self.mean[column], self.std[column] = mapped.mean(), mapped.std(correction=0).clamp_min(1e-6)
                continue
            low, middle, high = mapped.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.double))
            width = OUTLIER * torch.maximum((high - low) / 1.349, 0.25 * mapped.std(correction=0))
            mapped = mapped.clamp(middle - width, middle + width)
            self.mean[column] = mapped.mean()
            # A constant target stays at its value, whatever the network says; its rounding errors are not blown up.
            self.std[column] = mapped.std(correction=0).clamp_min(max(1e-12, 1e-6 * float(mapped.abs().max())))
            self.limits[:, column] = torch.stack([middle - width, middle + width])

    def _mapped(self, values: Tensor, column: int) -> Tensor:
        median = self.median[column].to(values.dtype)
        function = _FUNCTIONS[int(self.function[column])]
        if function == "log":
            return values.clamp_min(1e-3 * median).log()
        return (values / median).asinh() if function == "asinh" else values

    def forward(self, targets: Tensor) -> Tensor:
        """Targets ``[n, n_targets]`` in their units to what the head learns."""
        return torch.stack([self.of(values, column) for column, values in enumerate(targets.unbind(1))], dim=1)

    def of(self, values: Tensor, column: int) -> Tensor:
        """One target ``[n]`` in its unit to what the head learns of it."""
        return (self._mapped(values, column) - self.mean[column]) / self.std[column]

    @property
    def of_indicators(self) -> bool:
        """Whether the targets are 0 and 1, and what is said of them are scores of classes."""
        return self.kind == "indicator"

    def is_nonlinear(self, column: int) -> bool:
        """Whether the map of a column is more than a change of scale."""
        return _FUNCTIONS[int(self.function[column])] != "identity"

    def without_outliers_of(self, outputs: Tensor, column: int) -> Tensor:
        """Move the values of one mapped column ``[n]`` that lie beyond the limits of a Gaussian onto them."""
        low, high = (self.limits[:, column] - self.mean[column]) / self.std[column]
        return outputs.clamp(low, high)

    def inverse_of(self, outputs: Tensor, column: int) -> Tensor:
        """What the head says of one target ``[n]`` to that target in its unit."""
        mapped = outputs * self.std[column] + self.mean[column]
        function = _FUNCTIONS[int(self.function[column])]
        if function == "log":
            return mapped.exp()
        return mapped.sinh() * self.median[column] if function == "asinh" else mapped

    def inverse(self, outputs: Tensor) -> Tensor:
        """What the head says ``[n, n_targets]`` to targets in their units."""
        return torch.stack([self.inverse_of(mapped, column) for column, mapped in enumerate(outputs.unbind(1))], dim=1)


def _choose_function(kind: str, values: Tensor) -> str:
    if kind == "auto":
        centred = values - values.mean()
        skewness = (centred**3).mean() / (centred**2).mean().clamp_min(1e-24) ** 1.5
        if abs(skewness) < SKEWED:
            return "identity"
        return "log" if (values > 0).all() else "asinh"
    return kind if kind in _FUNCTIONS else "identity"
