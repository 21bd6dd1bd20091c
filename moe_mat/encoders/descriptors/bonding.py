"""How the atoms of a crystal are bonded: coordination, bond lengths and angles, and differences along the bonds."""

from __future__ import annotations

from math import factorial, prod

import numpy as np

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.descriptors.shells import Neighbours, over_atoms

ANGULAR_ORDERS = range(1, 7)


def bonding_features(neighbours: Neighbours) -> dict[str, float]:
    """Mean, spread, minimum and maximum over the atoms; NaN where there is no value, as for an isolated atom's bonds.

    Effective coordination number, nearest distance, mean and spread of the bond length (Å), bond length over the sum of
    covalent radii, differences to the neighbours in electronegativity (absolute and signed), radius, Mendeleev number
    and valence electrons, share of the same element, and the bond order parameters Q1 to Q6. Atoms without a neighbour
    within 8 Å count in the coordination number only.
    """
    i, j, lengths, mean = neighbours.i, neighbours.j, neighbours.lengths, neighbours.atom_mean
    numbers, radii = neighbours.atomic_numbers, neighbours.radii
    coordination = neighbours.total_weights

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
    """Q1 to Q6 of Steinhardt, Nelson and Ronchetti (Phys. Rev. B 28, 784, 1983) of each atom, from its bonds.

    By the addition theorem, ``Q_l^2 = sum_m |sum_b w_b C_lm(b)|^2 / (sum_b w_b)^2``, with Racah's normalisation of the
    spherical harmonics C: a sum over bonds in place of one over pairs of bonds.
    """
    squares = np.zeros((len(ANGULAR_ORDERS) + 1, neighbours.n_atoms))
    if len(neighbours.i):
        x, y, z = neighbours.directions.T
        power = neighbours.weights.astype(complex)  # times (x + i y)^m
        rows, shares, orders = [], [], []
        for m in range(len(squares)):
            # Associated Legendre functions over sin^m, by their recursion.
            before, legendre = np.zeros_like(z), np.full_like(z, float(prod(range(1, 2 * m, 2))))
            for order in range(m, len(squares)):
                if order > m:
                    step = ((2 * order - 1) * z * legendre - (order + m - 1) * before) / (order - m)
                    before, legendre = legendre, step
                rows.append(power * legendre)
                shares.append((2 if m else 1) * factorial(order - m) / factorial(order + m))
                orders.append(order)
            power = power * (x + 1j * y)
        first = np.flatnonzero(np.diff(neighbours.i, prepend=-1))  # bonds are sorted by the atom that they start from
        sums = np.add.reduceat(np.array(rows), first, axis=1)
        of_orders = np.array(shares)[:, None] * (sums.real**2 + sums.imag**2)
        for order, of_order in zip(orders, of_orders, strict=True):
            squares[order, neighbours.i[first]] += of_order
    with np.errstate(invalid="ignore"):  # an isolated atom has sums of nothing
        return {f"Q{order}": np.sqrt(squares[order] / neighbours.total_weights**2) for order in ANGULAR_ORDERS}
