"""The sites of a crystal as arrays: pymatgen collects them anew, site by site, at each question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.formulas import Formula
from moe_mat.crystals.once import once_a_crystal


@dataclass(frozen=True, slots=True)
class Sites:
    """Nobody may change these arrays: they are shared.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        fractional: Positions in lattice vectors ``[n_atoms, 3]``.
        positions: The same in Å ``[n_atoms, 3]``.
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
    """

    atomic_numbers: NDArray[np.int64]
    fractional: NDArray[np.float64]
    positions: NDArray[np.float64]
    lattice: NDArray[np.float64]


@once_a_crystal
def sites_of(structure: Structure) -> Sites:
    """The sites of an ordered structure, in their order."""
    of_species: dict[int, int] = {}  # many sites share the object that says what they are
    numbers = []
    for site in structure:
        species = id(site.species)
        if species not in of_species:
            of_species[species] = site.specie.Z
        numbers.append(of_species[species])
    return Sites(
        np.array(numbers, dtype=np.int64), structure.frac_coords, structure.cart_coords, structure.lattice.matrix
    )


def element_counts(structure: Structure) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Atomic numbers, ascending, and how many atoms of each a formula unit has: two of ``[n_elements]``."""
    if isinstance(structure, Formula):
        whole = [int(count) for count in structure.composition.values()]
        return np.array(structure.atomic_numbers, dtype=np.int64), np.array(whole, dtype=np.int64)
    numbers, counts = np.unique(sites_of(structure).atomic_numbers, return_counts=True)
    return numbers, counts // np.gcd.reduce(counts)
