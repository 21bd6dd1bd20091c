"""Descriptors that need no training: Magpie statistics of the composition, and geometry, bonding and symmetry."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from pymatgen.core import Lattice, Structure
from torch import Tensor

from moe_mat.encoders.base import register_encoder
from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS, magpie_statistics
from moe_mat.encoders.descriptors.standardised import StandardisedEncoder
from moe_mat.encoders.descriptors.structure_features import structure_features
from moe_mat.graphs.radius_graph import known_atomic_numbers

LAYERS = ("composition", "structure")
FARTHEST = 10.0  # standard deviations: some descriptors are zero but for a few crystals, and would be huge for those


@register_encoder("descriptors")
class DescriptorEncoder(StandardisedEncoder):
    """Hand-made descriptors of crystals, standardised; there are no atom features.

    Layers of the crystal: ``composition``, the 132 Magpie statistics (Ward et al., npj Comput. Mater. 2, 16028, 2016),
    and ``structure``, see `structure_features`. Both are per atom or per bond, so that they do not
    change when a cell is repeated. A value that does not exist, such as the electronegativity of argon, becomes the
    mean of the crystals that the standardisation was fitted on, which is zero; values beyond 10 standard deviations are
    cut there.

    Args:
        layers: Which of the two to compute.

    Raises:
        ValueError: When a layer has another name.
    """

    def __init__(self, *, layers: Sequence[str] = LAYERS) -> None:
        unknown = [layer for layer in layers if layer not in LAYERS]
        if unknown or not layers:
            raise ValueError(f"descriptor layers are {' and '.join(LAYERS)}, not {', '.join(unknown) or 'none'}")
        self._layers = list(layers)
        trial = Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]])
        super().__init__({layer: len(values) for layer, values in _describe(trial, self._layers).items()})

    def describe(self, structure: Structure) -> dict[str, np.ndarray]:  # noqa: D102
        return _describe(structure, self._layers)

    def restrain(self, standardised: Tensor) -> Tensor:
        """Cut at 10 standard deviations: the shipped property networks were trained on that."""
        return standardised.clamp(-FARTHEST, FARTHEST)

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("descriptors", *self._layers)


def _describe(structure: Structure, layers: Sequence[str]) -> dict[str, np.ndarray]:
    atomic_numbers = known_atomic_numbers(structure, known=KNOWN_ELEMENTS, encoder="the Magpie tables")
    described = {}
    for layer in layers:
        if layer == "composition":
            described[layer] = magpie_statistics(atomic_numbers)
        else:
            described[layer] = np.array(list(structure_features(structure, atomic_numbers).values()))
    return described
