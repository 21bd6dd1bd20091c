"""How the atoms of a crystal are bonded: coordination, bond lengths and angles, and differences along the bonds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.descriptors.shells import Neighbours, over_atoms
from moe_mat.graphs.radius import pairs_of_bonds

ANGULAR_ORDERS = range(1, 7)
PAIRS_AT_ONCE = 2_000_000  # of bonds of one atom, which bounds the memory


def bonding_features(neighbours: Neighbours) -> dict[str, float]:
    """Mean, spread, minimum and maximum over the atoms; NaN where there is no value, as for an isolated atom's bonds.

    Effective coordination number, nearest distance, mean and spread of the bond length (Å), bond length over the sum of
    covalent radii, differences to the neighbours in electronegativity (absolute and signed), radius, Mendeleev number
    and valence electrons, share of the same element, and the bond order parameters Q1 to Q6. Atoms without a neighbour
    within 8 Å count in the coordination number only.
    """
    i, j, lengths, mean = neighbours.i, neighbours.j, neighbours.lengths, neighbours.atom_mean
    numbers, radii = neighbours.atomic_numbers, neighbours.radii
    coordination = neighbours.atom_sum(neighbours.weights)

    def difference(name: str) -> np.ndarray:
        values = element_property(name)[numbers]
        return values[j] - values[i]

    mean_length = mean(lengths)
    of_bonds = {
        "nearest": neighbours.atom_min(lengths),
        "length": mean_length,
        "length spread": np.sqrt(np.maximum(mean((lengths - mean_length[i]) ** 2), 0)),
        "relative length": mean(lengths / (radii[i] + radii[j])),
        "electronegativity": mean(difference("Electronegativity")),
        "electronegativity difference": mean(np.abs(difference("Electronegativity"))),
        "radius difference": mean(np.abs(radii[j] - radii[i])),
        "Mendeleev difference": mean(np.abs(difference("MendeleevNumber"))),
        "valence difference": mean(np.abs(difference("NValence"))),
        "same element": mean((numbers[i] == numbers[j]).astype(float)),
        **_bond_order_parameters(neighbours),
    }
    return over_atoms({"coordination": coordination}) | over_atoms(of_bonds, counted=coordination > 0)


def _bond_order_parameters(neighbours: Neighbours) -> dict[str, np.ndarray]:
    """Q1 to Q6 of Steinhardt, Nelson and Ronchetti (Phys. Rev. B 28, 784, 1983) of each atom, from the bond angles."""
    i, weights, directions = neighbours.i, neighbours.weights, neighbours.directions
    different = np.zeros((len(ANGULAR_ORDERS), neighbours.n_atoms))
    for bonds in _blocks(i, neighbours.n_atoms):
        one, other = (pair + bonds.start for pair in pairs_of_bonds(i[bonds]))
        cosines = np.clip(np.einsum("ij,ij->i", directions[one], directions[other]), -1, 1)
        pair_weights = weights[one] * weights[other]
        for row, order in enumerate(ANGULAR_ORDERS):
            legendre = np.polynomial.legendre.Legendre.basis(order)(cosines)
            different[row] += np.bincount(i[one], weights=pair_weights * legendre, minlength=neighbours.n_atoms)
    itself, total = neighbours.atom_sum(weights**2), neighbours.atom_sum(weights) ** 2
    with np.errstate(invalid="ignore"):  # an isolated atom has sums of nothing
        values = np.sqrt(np.maximum((different + itself) / total, 0))
    return {f"Q{order}": row for order, row in zip(ANGULAR_ORDERS, values, strict=True)}


def _blocks(i: np.ndarray, n_atoms: int) -> Iterator[slice]:
    """Ranges of bonds, all bonds of some atoms each, that have no more pairs than fit into memory at once."""
    n_bonds = np.bincount(i, minlength=n_atoms)
    block = np.cumsum(n_bonds**2) // PAIRS_AT_ONCE
    ends = np.append(np.cumsum(n_bonds)[:-1][np.diff(block) > 0], len(i))
    start = 0
    for end in ends.tolist():
        yield slice(start, end)
        start = end
