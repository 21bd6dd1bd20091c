"""How much space a crystal takes: volume, density and the filling of space by its atoms."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from moe_mat.encoders.descriptors.composition import covalent_radii, element_property


def geometry_features(structure: Structure, atomic_numbers: np.ndarray) -> dict[str, float]:
    """Volume per atom (Å^3) and density (atomic mass units per Å^3), both as logarithms, and the filling of space.

    Args:
        structure: An ordered crystal.
        atomic_numbers: Of its sites ``[n_atoms]``.
    """
    volume = abs(structure.volume)
    mass = element_property("AtomicWeight")[atomic_numbers].sum()
    return {
        "log volume per atom": np.log(volume / len(atomic_numbers)),
        "log density": np.log(mass / volume),
        "packing fraction": volume_of_spheres(covalent_radii(atomic_numbers)) / volume,
    }


def volume_of_spheres(radii: np.ndarray) -> float:
    """Sum of the volumes of spheres ``[n]``, in the cube of the radii's unit."""
    return 4 / 3 * np.pi * (radii**3).sum()
