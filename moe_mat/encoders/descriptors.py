"""Descriptors that need no training: Magpie statistics of the composition, and geometry, bonding and symmetry."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from moe_mat.encoders.base import Encoder, Features, register_encoder
from moe_mat.encoders.element_table import KNOWN_ELEMENTS, magpie_statistics
from moe_mat.encoders.radius_graph import known_atomic_numbers
from moe_mat.encoders.structure_features import structure_features

LAYERS = ("composition", "structure")
FARTHEST = 10.0  # standard deviations: some descriptors are zero but for a few crystals, and would be huge for those


@register_encoder("descriptors")
class DescriptorEncoder(Encoder):
    """Hand-made descriptors of crystals, standardised; there are no atom features.

    Layers of the crystal: ``composition``, the 132 Magpie statistics (Ward et al., npj Comput. Mater. 2, 16028, 2016),
    and ``structure``, see `moe_mat.encoders.structure_features`. Both are per atom or per bond, so that they do not
    change when a cell is repeated. A value that does not exist, such as the electronegativity of argon, becomes the
    mean of the crystals that the standardisation was fitted on, which is zero; values beyond 10 standard deviations are
    cut there.

    Args:
        layers: Which of the two to compute.

    Raises:
        ValueError: When a layer has another name.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, layers: Sequence[str] = LAYERS) -> None:
        super().__init__()
        unknown = [layer for layer in layers if layer not in LAYERS]
        if unknown or not layers:
            raise ValueError(f"descriptor layers are {' and '.join(LAYERS)}, not {', '.join(unknown) or 'none'}")
        self._layers = list(layers)
        trial = Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]])
        self._widths = {layer: len(values) for layer, values in self._describe(trial).items()}
        width = sum(self._widths.values())
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("std", torch.ones(width, dtype=torch.float64))

    def _describe(self, structure: Structure) -> dict[str, np.ndarray]:
        atomic_numbers = known_atomic_numbers(structure, known=KNOWN_ELEMENTS, encoder="the Magpie tables")
        described = {}
        for layer in self._layers:
            if layer == "composition":
                described[layer] = magpie_statistics(atomic_numbers)
            else:
                described[layer] = np.array(list(structure_features(structure, atomic_numbers).values()))
        return described

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return {}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return dict(self._widths)

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("descriptors", *self._layers)

    def prepare(self, structure: Structure) -> np.ndarray:  # noqa: D102
        return np.concatenate(list(self._describe(structure).values()))

    def collate(self, samples: list[np.ndarray]) -> Tensor:  # noqa: D102
        return torch.from_numpy(np.stack(samples))

    def forward(self, batch: Tensor) -> Features:  # noqa: D102
        standardised = torch.nan_to_num((batch - self.mean) / self.std, nan=0.0).clamp(-FARTHEST, FARTHEST).float()
        layers = dict(zip(self._widths, standardised.split(list(self._widths.values()), dim=1), strict=True))
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
