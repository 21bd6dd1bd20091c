"""A crystal as a few numbers by which it is found again, however its cell is written.

They are means over the atoms: of how many neighbours there are at each distance, weighed by the elements at both ends,
and of how one-sided these lie. Rotation, shift, order of the sites, choice of the cell and mirrors make no difference.
They are compared with a tolerance and not rounded and hashed, because a number on the edge of two roundings would be
found or not by its last digit.

Of 37,781 crystals of JARVIS, 447 pairs are within the tolerance, and all of them are one crystal by a strict match of
structures. Of 60,000 of the Materials Project, two pairs are not: ZnS in stackings of 18 layers, which begin to differ
beyond the cutoff. So the nearest is taken among those within the tolerance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat.crystals.neighbours import neighbour_list

# Tables of vectors hold these numbers: with any change below, those that were imported before find nothing.
# Unit of lengths: the mean spacing, the cube root of the volume per atom; an atom has 268 neighbours within four.
FARTHEST = 4.0
CENTRES = np.arange(0.75, FARTHEST, 0.5)
WIDTH = 0.25
N_NUMBERS = 4 * len(CENTRES) + 1
GOLDEN = (np.sqrt(5) - 1) / 2

TOLERANCE = 1e-4
"""A crystal may be another one of its formula when no number differs by more, which atoms shifted by 0.001 Å do; with
coordinates of five decimals the largest difference is 0.00006."""

DIGITS = 1e-5
"""What coordinates of six decimals alone change."""


def fingerprint(structure: Structure) -> NDArray[np.float64]:
    """Numbers of order 1 that find a crystal among others of its formula ``[N_NUMBERS]``.

    Gaussians of the distance count neighbours, in units of how many there would be in a gas: seven Gaussians for three
    weights (1, the sum and the product of a number of each element). Seven more are the lengths of the sums of vectors
    to the neighbours, which vanish where they lie on all sides: a shift of atoms shows here to first order. The last is
    the mean spacing in Å.

    Args:
        structure: Checked.

    Raises:
        UnsupportedCrystalError: When it has too many neighbours to be listed.
    """
    n_atoms, spacing = len(structure), (structure.volume / len(structure)) ** (1 / 3)
    found = neighbour_list(structure, cutoff=FARTHEST * spacing)
    counted = _gaussians(found.distances / spacing)
    # Irrational steps, so that no sum of some elements is that of others.
    of_element = 0.5 + (np.array(structure.atomic_numbers) * GOLDEN) % 1
    centre, neighbour = of_element[found.centers], of_element[found.neighbors]
    weights = np.stack([np.ones_like(centre), centre + neighbour, centre * neighbour])
    vectors = structure.cart_coords[found.neighbors] - structure.cart_coords[found.centers]
    vectors += found.images @ structure.lattice.matrix
    towards = vectors / found.distances[:, None] * neighbour[:, None]
    one_sided = [
        np.sqrt(sum(np.bincount(found.centers, along * values, n_atoms) ** 2 for along in towards.T)).mean()
        for values in counted.T
    ]
    numbers = np.concatenate([*(weights @ counted / n_atoms), one_sided]) / np.tile(_IN_A_GAS, 4)
    return np.append(numbers, spacing)


def _gaussians(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussians that fade out at the cutoff ``[n, n_centres]``, of distances ``[n]`` in units of the spacing."""
    fading = np.maximum(1 - (distances / FARTHEST) ** 2, 0) ** 2
    return np.exp(-(((distances[:, None] - CENTRES) / WIDTH) ** 2) / 2) * fading[:, None]


_RADII, _STEP = np.linspace(0, FARTHEST, 4001, retstep=True)
_IN_A_GAS = 4 * np.pi * _STEP * _RADII**2 @ _gaussians(_RADII)
