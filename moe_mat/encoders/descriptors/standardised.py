"""Encoders that describe the crystal as a whole by named numbers, standardised by what they were fitted on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.encoders.base import Encoder, Features

LINEAR = 3.0  # standard deviations: farther away, values grow as logarithms


class StandardisedEncoder(Encoder):
    """Base of the encoders without atom features: a subclass says how to describe a crystal, layer by layer.

    A value that does not exist, such as the bond length of an isolated atom, is NaN in the description. It becomes the
    mean of the crystals that the standardisation was fitted on, which is zero.

    Some descriptors are zero but for a few crystals, such as the vacuum around a layer, and would be huge for those. So
    a standardised value x becomes ``3 asinh(x / 3)``: next to nothing changes within two standard deviations, and what
    is far out stays in order.

    Args:
        widths: Names and widths of the layers, in the order of the description.
    """

    learned = False  # mean and spread of descriptors: no value of a property enters

    mean: Tensor
    std: Tensor

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__()
        self._widths = dict(widths)
        width = sum(widths.values())
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("std", torch.ones(width, dtype=torch.float64))

    @abstractmethod
    def describe(self, structure: Structure) -> dict[str, np.ndarray]:
        """Layer name to its numbers ``[width]``, NaN where there is no value.

        Raises:
            UnsupportedCrystalError: When an element is not known.
        """

    def restrain(self, standardised: Tensor) -> Tensor:
        """Keep what is far out in sight ``[n_crystals, width]``."""
        return LINEAR * torch.asinh(standardised / LINEAR)

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return {}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return dict(self._widths)

    def prepare(self, structure: Structure) -> np.ndarray:  # noqa: D102
        return np.concatenate(list(self.describe(structure).values()))

    def collate(self, samples: list[np.ndarray]) -> Tensor:  # noqa: D102
        return torch.from_numpy(np.stack(samples))

    def forward(self, batch: Tensor) -> Features:  # noqa: D102
        values = self.restrain(torch.nan_to_num((batch - self.mean) / self.std, nan=0.0)).float()
        layers = dict(zip(self._widths, values.split(list(self._widths.values()), dim=1), strict=True))
        no_atoms = torch.zeros(0, dtype=torch.long, device=batch.device)
        return Features({}, crystal_of_node=no_atoms, n_crystals=len(batch), crystals=layers)

    def fit(self, structures: Iterable[Structure]) -> None:
        """Set the means and standard deviations to those of some crystals; missing values do not count.

        A descriptor that is the same for all of them is only centred.
        """
        described = np.stack([self.prepare(structure) for structure in structures])
        mean, std = np.nanmean(described, axis=0), np.nanstd(described, axis=0)
        constant = std < 1e-6 * np.maximum(1.0, np.abs(mean))
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(constant, 1.0, std)))
