"""Base of the encoders that compute physics: numbers of the whole crystal, each with a name, a unit and a formula."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from pymatgen.core import Structure

from moe_mat.encoders.base import Features
from moe_mat.encoders.descriptors.standardised import StandardisedNumbers
from moe_mat.encoders.physics.quantities import Quantity

FITTED_AT_ONCE = 64  # crystals


class PhysicsEncoder(StandardisedNumbers):
    """A subclass lists what it computes, says what it needs of one crystal, and computes it for many at once.

    `prepare` runs on the CPU, one crystal at a time; `compute` has what is worth doing for a batch, such as the
    evaluations of a potential. A number that does not apply to a crystal is NaN, which becomes the mean of the crystals
    that the standardisation was fitted on; one of the numbers is then a flag that says so.

    Attributes:
        quantities: Layer name to its numbers, in the order in which `compute` returns them.
    """

    quantities: ClassVar[Mapping[str, Sequence[Quantity]]]

    def __init__(self) -> None:
        super().__init__({layer: len(numbers) for layer, numbers in self.quantities.items()})

    @abstractmethod
    def compute(self, samples: Sequence[Any]) -> np.ndarray:
        """The numbers of all layers, side by side, before standardisation ``[n_crystals, width]``.

        Args:
            samples: What `prepare` made of the crystals.
        """

    def collate(self, samples: list[Any]) -> list[Any]:  # noqa: D102
        return samples

    def forward(self, batch: list[Any]) -> Features:  # noqa: D102
        numbers = torch.from_numpy(np.asarray(self.compute(batch), dtype=float))
        return self.standardise(numbers.to(self.mean.device), self._widths)

    def fit(self, structures: Iterable[Structure]) -> None:
        """Set the means and standard deviations to those of some crystals; missing values do not count."""
        remaining, described = iter(structures), []
        while some := [self.prepare(structure) for structure in islice(remaining, FITTED_AT_ONCE)]:
            described.append(self.compute(some))
        self.fit_numbers(np.concatenate(described))
