"""Encoders that describe the crystal as a whole by named numbers, standardised by what they were fitted on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Iterable
from copy import copy

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.encoders.base import Encoder, Features
from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS

LINEAR = 3.0  # standard deviations: farther away, values grow as logarithms


class StandardisedNumbers(Encoder):
    """Base of the encoders without atom features, whose layers are numbers of the whole crystal.

    A value that does not exist, such as the bond length of an isolated atom, is NaN. It becomes the mean of the
    crystals that the standardisation was fitted on, which is zero.

    Some descriptors are zero but for a few crystals, such as the vacuum around a layer, and would be huge for those. So
    a standardised value x becomes ``3 asinh(x / 3)``: next to nothing changes within two standard deviations, and what
    is far out stays in order.

    Args:
        widths: Names and widths of the layers, in their order.
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

    def restrain(self, standardised: Tensor) -> Tensor:
        """Keep what is far out in sight ``[n_crystals, width]``."""
        return LINEAR * torch.asinh(standardised / LINEAR)

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return {}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return dict(self._widths)

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return KNOWN_ELEMENTS

    def standardise(self, numbers: Tensor, layers: Collection[str]) -> Features:
        """The layers of a batch of crystals.

        Args:
            numbers: Of the layers, side by side in their order, NaN where there is none ``[n_crystals, width]``.
            layers: Which they are.
        """
        wanted = {layer: width for layer, width in self._widths.items() if layer in layers}
        mean, std = self.mean, self.std
        if len(wanted) < len(self._widths):
            computed = torch.cat([torch.full((w,), layer in wanted) for layer, w in self._widths.items()])
            mean, std = mean[computed], std[computed]
        values = self.restrain(torch.nan_to_num((numbers - mean) / std, nan=0.0)).float()
        of_layers = dict(zip(wanted, values.split(list(wanted.values()), dim=1), strict=True))
        no_atoms = torch.zeros(0, dtype=torch.long, device=numbers.device)
        return Features({}, crystal_of_node=no_atoms, n_crystals=len(numbers), crystals=of_layers)

    def fit_numbers(self, described: np.ndarray) -> None:
        """Set the means and standard deviations to those of some crystals; missing values do not count.

        A number that is the same for all of them is only centred.

        Args:
            described: The numbers of each crystal ``[n_crystals, width]``.
        """
        mean, std = np.nanmean(described, axis=0), np.nanstd(described, axis=0)
        constant = std < 1e-6 * np.maximum(1.0, np.abs(mean))
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(constant, 1.0, std)))


class StandardisedEncoder(StandardisedNumbers):
    """Base of the descriptors: a subclass says how to describe a crystal, layer by layer.

    Args:
        widths: Names and widths of the layers, in the order of the description.
    """

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__(widths)
        self._wanted = frozenset(widths)

    @abstractmethod
    def describe(self, structure: Structure, layers: Collection[str]) -> dict[str, np.ndarray]:
        """Layer name to its numbers ``[width]``, NaN where there is no value, in the order of all layers.

        Args:
            structure: The crystal.
            layers: Those that are wanted.

        Raises:
            UnsupportedCrystalError: When an element is not known.
        """

    def only(self, layers: Collection[str]) -> StandardisedEncoder:
        """This encoder with the same constants, which computes some layers only: none of them needs another."""
        some = copy(self)
        some._wanted = self._wanted & frozenset(layers)
        return some

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return (self.name, *(layer for layer in self._widths if layer in self._wanted))

    def prepare(self, structure: Structure) -> np.ndarray:  # noqa: D102
        return np.concatenate(list(self.describe(structure, self._wanted).values()))

    def collate(self, samples: list[np.ndarray]) -> Tensor:  # noqa: D102
        return torch.from_numpy(np.stack(samples))

    def forward(self, batch: Tensor) -> Features:  # noqa: D102
        return self.standardise(batch, self._wanted)

    def fit(self, structures: Iterable[Structure]) -> None:
        """Set the means and standard deviations to those of some crystals; missing values do not count."""
        self.fit_numbers(np.stack([self.prepare(structure) for structure in structures]))
