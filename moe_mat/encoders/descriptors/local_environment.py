"""Local environment, spring network, site symmetry and empty space: what needs no training, part two."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure

from moe_mat.encoders.base import register_encoder
from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS
from moe_mat.encoders.descriptors.environment import environment_features
from moe_mat.encoders.descriptors.packing import packing_features
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import neighbour_shells
from moe_mat.encoders.descriptors.springs import spring_features
from moe_mat.encoders.descriptors.standardised import StandardisedEncoder
from moe_mat.encoders.descriptors.structure_features import CENTROSYMMETRIC, POINT_GROUP_ORDERS, SYMMETRY_TOLERANCE
from moe_mat.graphs.radius_graph import known_atomic_numbers

logger = logging.getLogger(__name__)

CHIRAL = frozenset({"1", "2", "222", "4", "422", "3", "32", "6", "622", "23", "432"})


def site_symmetry_features(structure: Structure) -> dict[str, float]:
    """The point group as 32 flags, whether it is chiral or piezoelectric, and how symmetric its sites are.

    The order of a site's symmetry group is that of the point group over the number of atoms in its orbit, in the
    primitive cell; its logarithm enters with mean, minimum and maximum over the atoms. The tolerance is 0.1 Å, as in
    `structure_features`, which has space group, crystal system and inversion. NaN when spglib finds no
    symmetry at all, which is logged.
    """
    cell: Any = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE)
    except Exception:  # its older releases return None instead, and have no error of their own to catch
        found = None
    others = ("chiral", "piezoelectric", "log orbits per atom")
    sites = ("log site order, mean", "log site order, min", "log site order, max")
    if found is None:
        logger.warning("spglib finds no point group for %s; its site symmetry is missing", structure.formula)
        return dict.fromkeys((*POINT_GROUP_ORDERS, *others, *sites), np.nan)
    group = found.pointgroup.strip()
    _, orbit, sizes = np.unique(found.crystallographic_orbits, return_inverse=True, return_counts=True)
    n_primitive = len(np.unique(found.mapping_to_primitive))
    site_orders = np.log(POINT_GROUP_ORDERS[group] * len(structure) / n_primitive / sizes[orbit])
    values = (
        *(group in CHIRAL, group not in CENTROSYMMETRIC | {"432"}, np.log(len(sizes) / n_primitive)),
        *(site_orders.mean(), site_orders.min(), site_orders.max()),
    )
    flags = {name: float(name == group) for name in POINT_GROUP_ORDERS}
    return flags | {name: float(value) for name, value in zip((*others, *sites), values, strict=True)}


@register_encoder("local_environment")
class LocalEnvironmentEncoder(StandardisedEncoder):
    """Hand-made descriptors of bonds, vibrations, symmetry and layers, standardised; there are no atom features.

    Layers of the crystal: ``environment`` (`environment_features`), ``spring``
    (`spring_features`), ``symmetry`` (`site_symmetry_features`) and ``packing``
    (`packing_features`). All of it is computed on the primitive cell, or per atom, so that it does not
    change when a cell is repeated. Nothing here repeats `structure_features`.
    """

    def __init__(self) -> None:
        trial = self.describe(Structure(Lattice.cubic(4.0), ["Fe"], [[0, 0, 0]]))
        super().__init__({layer: len(values) for layer, values in trial.items()})

    def describe(self, structure: Structure) -> dict[str, np.ndarray]:  # noqa: D102
        known_atomic_numbers(structure, known=KNOWN_ELEMENTS, encoder="the Magpie tables")
        primitive = primitive_cell(structure)
        shells = neighbour_shells(primitive)
        described = {
            "environment": environment_features(shells),
            "spring": spring_features(shells),
            "symmetry": site_symmetry_features(primitive),
            "packing": packing_features(shells),
        }
        return {layer: np.array(list(features.values())) for layer, features in described.items()}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return "local_environment"
