"""What the atoms see around them: neighbours of other elements, soft coordination, and bonds by length and kind."""

from __future__ import annotations

import numpy as np

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.descriptors.shells import Shells, over_atoms

# Those of electronegativity, radius, Mendeleev number and valence are among the bonding features already.
DIFFERENCES = ("AtomicWeight", "Column", "Row", "MeltingT", "GSvolume_pa", "NsValence", "NpValence", "NdValence")
LOGARITHMIC = ("AtomicWeight", "GSvolume_pa")
RELATIVE_LENGTHS = np.arange(0.70, 2.2, 0.16)
RELATIVE_WIDTH = 0.08
LENGTHS = np.arange(1.0, 5.1, 0.5)  # Å
LENGTH_WIDTH = 0.25


def environment_features(shells: Shells) -> dict[str, float]:
    """Features by name; NaN where there is no value, as for the bonds of an isolated atom.

    Over the atoms, mean, spread, minimum and maximum of: the mean absolute difference to the neighbours in each of
    `DIFFERENCES` (two of them as logarithms), the nearest distance as a logarithm and over the sum of covalent radii,
    the fractional coordination number of Grimme et al. (J. Chem. Phys. 132, 154104, 2010), and the length of the mean
    bond direction weighted by the difference in electronegativity, a local dipole.

    Of the crystal: how far the bonds of all atoms together are from isotropic, and two histograms of bonds per atom
    with Gaussian bins. One is over the length in Å, divided by its square. The other is over the length divided by the
    sum of covalent radii, once for the ionic share of each bond and once for the rest. The share is Pauling's,
    ``1 - exp(-(X_i - X_j)^2 / 4)`` (The Nature of the Chemical Bond, 1939).
    """
    i, j, numbers = shells.i, shells.j, shells.atomic_numbers
    of_atoms = {}
    for name in DIFFERENCES:
        values = element_property(name)[numbers]
        values = np.log(values) if name in LOGARITHMIC else values
        of_atoms[f"{name} difference"] = shells.atom_mean(np.abs(values[j] - values[i]))

    electronegativity = element_property("Electronegativity")[numbers]
    polarity = np.nan_to_num(electronegativity[j] - electronegativity[i])
    dipole = np.stack([shells.atom_mean(polarity * shells.directions[:, axis]) for axis in range(3)])
    bonded = shells.fade / (1 + np.exp(-16 * (4 / 3 * (shells.radii[i] + shells.radii[j]) / shells.lengths - 1)))
    of_atoms |= {
        "log nearest": np.log(shells.atom_min(shells.lengths)),
        "relative nearest": shells.atom_min(shells.relative),
        "Grimme coordination": shells.atom_sum(bonded),
        "dipole": np.linalg.norm(dipole, axis=0),
    }
    return over_atoms(of_atoms) | _anisotropy(shells) | _histograms(shells, polarity)


def _anisotropy(shells: Shells) -> dict[str, float]:
    second_moments = np.einsum("b,ba,bc->ac", shells.weights, shells.directions, shells.directions)
    total = np.trace(second_moments)
    anisotropy = np.linalg.norm(second_moments / total - np.eye(3) / 3) if total > 0 else np.nan
    return {"anisotropy": float(anisotropy)}


def _histograms(shells: Shells, polarity: np.ndarray) -> dict[str, float]:
    ionic = 1 - np.exp(-(polarity**2) / 4)
    near = shells.relative < RELATIVE_LENGTHS[-1] + 4 * RELATIVE_WIDTH
    bins = np.exp(-(((shells.relative[near, None] - RELATIVE_LENGTHS) / RELATIVE_WIDTH) ** 2) / 2)
    ionic_bonds = (shells.fade * ionic)[near] @ bins / shells.n_atoms
    other_bonds = (shells.fade * (1 - ionic))[near] @ bins / shells.n_atoms
    short = shells.lengths < LENGTHS[-1] + 4 * LENGTH_WIDTH
    bins = np.exp(-(((shells.lengths[short, None] - LENGTHS) / LENGTH_WIDTH) ** 2) / 2)
    bonds = bins.sum(axis=0) / shells.n_atoms / LENGTHS**2
    return {
        **{f"ionic bonds, {c:.2f} radii": v for c, v in zip(RELATIVE_LENGTHS, ionic_bonds, strict=True)},
        **{f"other bonds, {c:.2f} radii": v for c, v in zip(RELATIVE_LENGTHS, other_bonds, strict=True)},
        **{f"bonds, {c:.1f} Å": v for c, v in zip(LENGTHS, bonds, strict=True)},
    }
