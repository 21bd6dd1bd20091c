"""What has learned how far to trust its predictions: a model, or several as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from moe_mat.mixture.class_probabilities import ClassProbabilities
from moe_mat.mixture.intervals import Intervals


class Calibrated(Protocol):
    """A `MixtureOfExperts`, or the `Members` that are averaged."""

    @property
    def intervals(self) -> Intervals:
        """Of numbers."""

    @property
    def probabilities(self) -> ClassProbabilities | None:
        """Of classes."""

    @property
    def classes(self) -> Sequence[str] | None:
        """Their names, in order; ``None`` where targets are numbers."""
