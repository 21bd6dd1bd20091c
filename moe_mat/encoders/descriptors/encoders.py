"""The registered encoders of descriptors: each layer is put together from one or several kinds of physics."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from pymatgen.core import Lattice, Structure
from torch import Tensor

from moe_mat.crystals.sites import element_counts, sites_of
from moe_mat.encoders.descriptors.bonding import bonding_features
from moe_mat.encoders.descriptors.composition import check_in_table, statistics_of_elements
from moe_mat.encoders.descriptors.environment import environment_features
from moe_mat.encoders.descriptors.geometry import geometry_features
from moe_mat.encoders.descriptors.packing import packing_features
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import hoppe_neighbours, neighbour_shells
from moe_mat.encoders.descriptors.springs import spring_features
from moe_mat.encoders.descriptors.standardised import StandardisedEncoder
from moe_mat.encoders.descriptors.symmetry import find_symmetry, site_symmetry_features, space_group_features
from moe_mat.encoders.registry import register_encoder

LAYERS = ("composition", "structure")
FARTHEST = 10.0  # standard deviations: some descriptors are zero but for a few crystals, and would be huge for those
OF_SHELLS = {"environment": environment_features, "spring": spring_features, "packing": packing_features}
TRIAL = Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]])  # any crystal shows how wide the layers are


@register_encoder("descriptors")
class DescriptorEncoder(StandardisedEncoder):
    """Hand-made descriptors of crystals, standardised; there are no atom features.

    Layers of the crystal: ``composition``, the 132 Magpie statistics (Ward et al., npj Comput. Mater. 2, 16028, 2016),
    and ``structure``: `geometry_features`, `space_group_features` and `bonding_features`. Both are per atom or per
    bond, so that they do not change when a cell is repeated. A value that does not exist, such as the electronegativity
    of argon, becomes the mean of the crystals that the standardisation was fitted on, which is zero; values beyond 10
    standard deviations are cut there.

    Args:
        layers: Which of the two to compute.

    Raises:
        ValueError: When a layer has another name.
    """

    composition_layers = frozenset({"composition"})

    def __init__(self, *, layers: Sequence[str] = LAYERS) -> None:
        unknown = [layer for layer in layers if layer not in LAYERS]
        if unknown or not layers:
            raise ValueError(f"descriptor layers are {' and '.join(LAYERS)}, not {', '.join(unknown) or 'none'}")
        self._layers = list(layers)
        super().__init__({layer: len(values) for layer, values in self.describe(TRIAL, layers).items()})

    def describe(self, structure: Structure, layers: Collection[str]) -> dict[str, np.ndarray]:  # noqa: D102
        check_in_table(structure)
        described = {}
        for layer in self._layers:
            if layer not in layers:
                continue
            if layer == "composition":
                described[layer] = statistics_of_elements(*element_counts(structure))
            else:
                features = {
                    **geometry_features(structure, sites_of(structure).atomic_numbers),
                    **space_group_features(find_symmetry(primitive_cell(structure))),
                    **bonding_features(hoppe_neighbours(structure)),
                }
                described[layer] = np.array(list(features.values()))
        return described

    def restrain(self, standardised: Tensor) -> Tensor:
        """Cut at 10 standard deviations: the shipped property networks were trained on that."""
        return standardised.clamp(-FARTHEST, FARTHEST)


@register_encoder("local_environment")
class LocalEnvironmentEncoder(StandardisedEncoder):
    """Hand-made descriptors of bonds, vibrations, symmetry and layers, standardised; there are no atom features.

    Layers of the crystal: ``environment`` (`environment_features`), ``spring`` (`spring_features`), ``symmetry``
    (`site_symmetry_features`) and ``packing`` (`packing_features`). All of it is computed on the primitive cell, or per
    atom, so that it does not change when a cell is repeated. Nothing here repeats the layers of `DescriptorEncoder`.
    """

    LAYERS = ("environment", "spring", "symmetry", "packing")

    def __init__(self) -> None:
        super().__init__({layer: len(values) for layer, values in self.describe(TRIAL, self.LAYERS).items()})

    def describe(self, structure: Structure, layers: Collection[str]) -> dict[str, np.ndarray]:  # noqa: D102
        check_in_table(structure)
        primitive = primitive_cell(structure)
        shells = neighbour_shells(primitive) if {*layers} - {"symmetry"} else None
        described = {}
        for layer in self.LAYERS:
            if layer not in layers:
                continue
            if shells is None or layer == "symmetry":
                features = site_symmetry_features(find_symmetry(primitive))
            else:
                features = OF_SHELLS[layer](shells)
            described[layer] = np.array(list(features.values()))
        return described
