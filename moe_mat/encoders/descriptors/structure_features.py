"""Geometry, bonding and symmetry of a crystal as a few dozen numbers, without any choice of bonded or not bonded.

Neighbours count by Hoppe's weights (Z. Kristallogr. 150, 23, 1979), ``exp(1 - (d / d_mean)^6)``, which fall from 1 for
the nearest to 0: nothing jumps when a crystal is turned, strained a little, or has several equal distances.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Structure

from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS, element_property
from moe_mat.graphs.radius_graph import pairs_of_bonds, radius_graph

logger = logging.getLogger(__name__)

CUTOFF = 8.0  # Å: second neighbours in caesium are at 6.1
FARTHEST = 2.2  # times the nearest distance: beyond, a weight is below 1e-5
ANGULAR_ORDERS = range(1, 7)
SYMMETRY_TOLERANCE = 0.1  # Å, as the Materials Project uses for relaxed crystals

CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
# fmt: off
POINT_GROUP_ORDERS = {
    "1": 1, "-1": 2, "2": 2, "m": 2, "2/m": 4, "222": 4, "mm2": 4, "mmm": 8, "4": 4, "-4": 4, "4/m": 8, "422": 8,
    "4mm": 8, "-42m": 8, "4/mmm": 16, "3": 3, "-3": 6, "32": 6, "3m": 6, "-3m": 12, "6": 6, "-6": 6, "6/m": 12,
    "622": 12, "6mm": 12, "-6m2": 12, "6/mmm": 24, "23": 12, "m-3": 24, "432": 24, "-43m": 24, "m-3m": 48,
}
# fmt: on
CENTROSYMMETRIC = frozenset({"-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m"})
POLAR = frozenset({"1", "2", "m", "mm2", "4", "4mm", "3", "3m", "6", "6mm"})


def structure_features(structure: Structure, atomic_numbers: np.ndarray) -> dict[str, float]:
    """All features by name; NaN where there is no value, as for the bonds of an isolated atom.

    Args:
        structure: An ordered crystal.
        atomic_numbers: Of its sites ``[n_atoms]``.
    """
    return packing_features(structure, atomic_numbers) | symmetry_features(structure) | bonding_features(structure)


def packing_features(structure: Structure, atomic_numbers: np.ndarray) -> dict[str, float]:
    """Volume per atom (Å^3) and density (atomic mass units per Å^3), both as logarithms, and the filling of space."""
    volume = abs(structure.volume)
    radii = element_property("CovalentRadius")[atomic_numbers] / 100  # pm to Å
    mass = element_property("AtomicWeight")[atomic_numbers].sum()
    return {
        "log volume per atom": np.log(volume / len(atomic_numbers)),
        "log density": np.log(mass / volume),
        "packing fraction": 4 / 3 * np.pi * (radii**3).sum() / volume,
    }


def symmetry_features(structure: Structure) -> dict[str, float]:
    """What spglib finds: space group, crystal system, kind and order of the point group, atoms and orbits.

    All of it refers to the primitive cell. NaN when spglib finds no symmetry at all, which is logged.
    """
    cell: Any = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE)
    except Exception:  # its older releases return None instead, and have no error of their own to catch
        found = None
    if found is None:
        logger.warning("spglib finds no space group for %s; its symmetry features are missing", structure.formula)
        names = ("space group", *CRYSTAL_SYSTEMS, "centrosymmetric", "polar", "log order", "log atoms", "log orbits")
        return dict.fromkeys(names, np.nan)
    system = next(name for name, last in CRYSTAL_SYSTEMS.items() if found.number <= last)
    point_group = found.pointgroup.strip()
    return {
        "space group": float(found.number),
        **{name: float(name == system) for name in CRYSTAL_SYSTEMS},
        "centrosymmetric": float(point_group in CENTROSYMMETRIC),
        "polar": float(point_group in POLAR),
        "log order": np.log(POINT_GROUP_ORDERS[point_group]),
        "log atoms": np.log(len(np.unique(found.mapping_to_primitive))),
        "log orbits": np.log(len(np.unique(found.crystallographic_orbits))),
    }


def bonding_features(structure: Structure) -> dict[str, float]:
    """Mean, spread, minimum and maximum over the atoms of what each atom sees around it.

    Effective coordination number, nearest distance, mean and spread of the bond length (Å), bond length over the sum of
    covalent radii, differences to the neighbours in electronegativity (absolute and signed), radius, Mendeleev number
    and valence electrons, share of the same element, and the bond order parameters Q1 to Q6 of Steinhardt, Nelson and
    Ronchetti (Phys. Rev. B 28, 784, 1983). Atoms without a neighbour within 8 Å count in the coordination number only.
    """
    graph = radius_graph(structure, cutoff=CUTOFF, known=KNOWN_ELEMENTS, encoder="the Magpie tables")
    n_atoms = len(graph.atomic_numbers)
    nearest = np.full(n_atoms, np.inf)
    np.minimum.at(nearest, graph.centers, graph.lengths)
    near = graph.lengths <= FARTHEST * nearest[graph.centers]
    i, j, lengths = graph.centers[near], graph.neighbors[near], graph.lengths[near]
    directions = graph.vectors[near] / lengths[:, None]

    def atom_sum(values: np.ndarray) -> np.ndarray:
        return np.bincount(i, weights=values, minlength=n_atoms)

    with np.errstate(invalid="ignore", divide="ignore"):  # an isolated atom has sums of nothing
        first = np.exp(1 - (lengths / nearest[i]) ** 6)
        typical = atom_sum(first * lengths) / atom_sum(first)
        weights = np.exp(1 - (lengths / typical[i]) ** 6)
        coordination = atom_sum(weights)

        def atom_mean(values: np.ndarray) -> np.ndarray:
            return atom_sum(weights * values) / coordination

        def difference(name: str) -> np.ndarray:
            values = element_property(name)[graph.atomic_numbers]
            return values[j] - values[i]

        radii = element_property("CovalentRadius")[graph.atomic_numbers] / 100
        mean_length = atom_mean(lengths)
        of_atoms = {
            "coordination": coordination,
            "nearest": np.where(np.isfinite(nearest), nearest, np.nan),
            "length": mean_length,
            "length spread": np.sqrt(np.maximum(atom_mean((lengths - mean_length[i]) ** 2), 0)),
            "relative length": atom_mean(lengths / (radii[i] + radii[j])),
            "electronegativity": atom_mean(difference("Electronegativity")),
            "electronegativity difference": atom_mean(np.abs(difference("Electronegativity"))),
            "radius difference": atom_mean(np.abs(radii[j] - radii[i])),
            "Mendeleev difference": atom_mean(np.abs(difference("MendeleevNumber"))),
            "valence difference": atom_mean(np.abs(difference("NValence"))),
            "same element": atom_mean((graph.atomic_numbers[i] == graph.atomic_numbers[j]).astype(float)),
        }
        one, other = pairs_of_bonds(i)
        cosines = np.clip(np.einsum("ij,ij->i", directions[one], directions[other]), -1, 1)
        pair_weights = weights[one] * weights[other]
        for order in ANGULAR_ORDERS:
            legendre = np.polynomial.legendre.Legendre.basis(order)(cosines)
            different = np.bincount(i[one], weights=pair_weights * legendre, minlength=n_atoms)
            power = (different + atom_sum(weights**2)) / coordination**2
            of_atoms[f"Q{order}"] = np.sqrt(np.maximum(power, 0))

    features = {}
    for name, values in of_atoms.items():
        values = values[coordination > 0] if name != "coordination" else values
        for statistic in (np.mean, np.std, np.min, np.max):
            features[f"{name}, {statistic.__name__}"] = float(statistic(values)) if len(values) else np.nan
    return features
