"""How easily the electrons of a crystal follow a field: sums over its atoms, and over its bonds.

The sum over the bonds is the dielectric theory of Phillips and Van Vechten in the form that Levine gave it for bonds of
different kinds (J. Chem. Phys. 59, 1463, 1973), with two simplifications: the field between the ends of a bond is
proportional to their difference in electronegativity, and every atom shares its valence electrons among its bonds by
their weights.
"""

from __future__ import annotations

import numpy as np

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.descriptors.shells import Shells
from moe_mat.encoders.physics.polarisabilities import polarisabilities
from moe_mat.encoders.physics.quantities import Quantity

FLOOR = 1e-3
PLASMA = 1378.8  # eV² Å³: the square of the plasma energy of one electron in one Å³
COVALENT, COVALENT_POWER = 40.0, 2.48  # E_h = 40 eV / (d / Å)^2.48, which is diamond's and silicon's
COULOMB = 14.4  # eV Å
SCREENING = 1.2  # 1/Å
ANTISCREENING = 1.5
CHARGE_LIMIT = 3.0  # e
SWELLING = 0.35  # 1/e: an oxygen ion is about twice as polarisable as the atom
LARGEST = 0.9  # of the Clausius-Mossotti ratio, which has a pole at 1
FULL_SHELL_D = 10

QUANTITIES = (
    Quantity("polarisability density", "1", "log10(sum alpha / V + 0.001)"),
    Quantity("polarisability density of ions", "1", "log10(sum alpha exp(-0.35 q) / V + 0.001), q within 3 e"),
    Quantity("Clausius-Mossotti", "1", "ln((1 + 2 x) / (1 - x)), x = min(0.3 * 4 pi / 3 * sum alpha / V, 0.9)"),
    Quantity("valence density", "log10(1/Å³)", "log10(sum N / V + 0.001)"),
    Quantity("Slater-Kirkwood density", "log10(Å^-1.5)", "log10(sum sqrt(alpha N) / V + 0.001)"),
    Quantity("bond susceptibility", "1", "log10(1378.8 eV² Å³ / V * sum over bonds of n / E_g² + 0.001)"),
    Quantity("bond gap", "eV", "mean of E_g over the bonds, E_g² = E_h² + C²"),
    Quantity("bond ionicity", "1", "mean of C² / E_g² over the bonds"),
)


def valence_electrons() -> np.ndarray:
    """Electrons that bonds are made of: s, p, and d of an open shell, at least one ``[104]``."""
    s, p, d = (element_property(f"N{shell}Valence") for shell in "spd")
    return np.maximum(s + p + np.where(d < FULL_SHELL_D, d, 0), 1)


def electronic_response(shells: Shells, charges: np.ndarray) -> dict[str, float]:
    """The numbers of `QUANTITIES` by name; those that need a bond are NaN where there is none.

    Symbols: alpha the polarisability of a neutral atom in Å³, V the volume of the cell in Å³, q the charge of an atom
    in e, N its number of valence electrons, n the electrons in a bond, E_h and C the covalent and the ionic part of its
    gap in eV.

    Args:
        shells: Of the primitive cell.
        charges: Of the atoms, in e ``[n_atoms]``.
    """
    volume, numbers = shells.volume, shells.atomic_numbers
    alpha, valence = polarisabilities()[numbers], valence_electrons()[numbers]
    swollen = alpha * np.exp(-SWELLING * np.clip(charges, -CHARGE_LIMIT, CHARGE_LIMIT))
    density = alpha.sum() / volume
    ratio = min(0.3 * 4 * np.pi / 3 * density, LARGEST)
    numbers_of_atoms = {
        "polarisability density": np.log10(density + FLOOR),
        "polarisability density of ions": np.log10(swollen.sum() / volume + FLOOR),
        "Clausius-Mossotti": np.log((1 + 2 * ratio) / (1 - ratio)),
        "valence density": np.log10(valence.sum() / volume + FLOOR),
        "Slater-Kirkwood density": np.log10(np.sqrt(alpha * valence).sum() / volume + FLOOR),
    }
    return {name: float(value) for name, value in (numbers_of_atoms | _of_bonds(shells, valence)).items()}


def _of_bonds(shells: Shells, valence: np.ndarray) -> dict[str, float]:
    i, j, weights = shells.i, shells.j, (shells.weights + shells.weights_back) / 2
    coordination = np.maximum(shells.atom_sum(weights), np.finfo(float).tiny)
    # Each bond appears from either end, and each end gives half of it.
    electrons = weights * (valence[i] / coordination[i] + valence[j] / coordination[j]) / 2
    covalent = COVALENT / shells.lengths**COVALENT_POWER
    screening = np.exp(-SCREENING * shells.lengths / 2)
    ionic = ANTISCREENING * COULOMB * np.abs(polarity(shells)) * screening
    square = covalent**2 + ionic**2
    total = weights.sum()
    return {
        "bond susceptibility": np.log10(PLASMA / shells.volume * (electrons / square).sum() + FLOOR),
        "bond gap": (weights * np.sqrt(square)).sum() / total if total > 0 else np.nan,
        "bond ionicity": (weights * ionic**2 / square).sum() / total if total > 0 else np.nan,
    }


def polarity(shells: Shells) -> np.ndarray:
    """Electronegativity of a bond's far end less that of its start ``[n_bonds]``; 0 where one has none."""
    electronegativity = element_property("Electronegativity")[shells.atomic_numbers]
    return np.nan_to_num(electronegativity[shells.j] - electronegativity[shells.i])
