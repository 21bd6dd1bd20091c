"""Whether a crystal has an inversion centre, found without a search for all symmetry."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors.partners import Partners

# Å: relaxed crystals are symmetric to less, and ferroelectric displacements are ten times as large.
SAME_POSITION = 0.01


def has_inversion_centre(structure: Structure) -> bool:
    """Whether an inversion maps the crystal on itself, within 0.01 Å.

    An inversion takes an atom of the rarest element to one of these atoms, and is known by the sum of their positions.

    Args:
        structure: Any cell of the crystal.
    """
    sites = sites_of(structure)
    numbers, positions = sites.atomic_numbers, sites.fractional
    elements, counts = np.unique(numbers, return_counts=True)
    rarest = np.flatnonzero(numbers == elements[np.argmin(counts)])
    partners = Partners(positions, numbers, sites.lattice, tolerance=SAME_POSITION)
    sums = positions[rarest[0]] + positions[rarest]
    return any(partners.find(sum_of_both - positions) is not None for sum_of_both in sums)
