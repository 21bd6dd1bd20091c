"""Crystals whose stiffness has been measured: structures, and elastic constants at room temperature in GPa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure


@dataclass(frozen=True, slots=True)
class KnownCrystal:
    """One crystal.

    Attributes:
        structure: As measured, but for the free positions, which any relaxation finds.
        constants: Voigt's ``ij`` to c_ij in GPa, the independent ones.
        source: Of the constants.
    """

    structure: Structure
    constants: dict[str, float]
    source: str

    @property
    def stiffness(self) -> np.ndarray:
        """The constants as a matrix in Voigt's notation, in GPa ``[6, 6]``; cubic, tetragonal or hexagonal."""
        c = self.constants
        matrix = np.zeros((6, 6))
        if "33" not in c:  # cubic
            matrix[:3, :3] = c["12"]
            np.fill_diagonal(matrix, [c["11"]] * 3 + [c["44"]] * 3)
            return matrix
        of_plane = c.get("66", (c["11"] - c["12"]) / 2)  # hexagonal where it is not given
        np.fill_diagonal(matrix, [c["11"], c["11"], c["33"], c["44"], c["44"], of_plane])
        matrix[0, 1] = matrix[1, 0] = c["12"]
        matrix[:2, 2] = matrix[2, :2] = c["13"]
        return matrix


def _cubic(group: str, length: float, sites: dict[str, list[float]]) -> Structure:
    return Structure.from_spacegroup(group, Lattice.cubic(length), list(sites), list(sites.values()))


ORIGIN, HALF, QUARTER = [0.0] * 3, [0.5] * 3, [0.25] * 3

KNOWN = {
    "C diamond": KnownCrystal(
        _cubic("Fd-3m", 3.567, {"C": ORIGIN}),
        {"11": 1079, "12": 124, "44": 578},
        "H. J. McSkimin, P. Andreatch, J. Appl. Phys. 43, 2944 (1972)",
    ),
    "Si": KnownCrystal(
        _cubic("Fd-3m", 5.431, {"Si": ORIGIN}),
        {"11": 165.7, "12": 63.9, "44": 79.6},
        "H. J. McSkimin, P. Andreatch, J. Appl. Phys. 35, 2161 (1964)",
    ),
    "GaAs": KnownCrystal(
        _cubic("F-43m", 5.653, {"Ga": ORIGIN, "As": QUARTER}),
        {"11": 118.8, "12": 53.8, "44": 59.4},
        "H. J. McSkimin, A. Jayaraman, P. Andreatch, J. Appl. Phys. 38, 2362 (1967)",
    ),
    "MgO": KnownCrystal(
        _cubic("Fm-3m", 4.212, {"Mg": ORIGIN, "O": HALF}),
        {"11": 297.9, "12": 95.8, "44": 154.4},
        "S. V. Sinogeikin, J. D. Bass, Phys. Rev. B 59, R14141 (1999)",
    ),
    "NaCl": KnownCrystal(
        _cubic("Fm-3m", 5.640, {"Na": ORIGIN, "Cl": HALF}),
        {"11": 49.5, "12": 12.9, "44": 12.9},
        "J. T. Lewis, A. Lehoczky, C. V. Briscoe, Phys. Rev. 161, 877 (1967)",
    ),
    "CaF2": KnownCrystal(
        _cubic("Fm-3m", 5.463, {"Ca": ORIGIN, "F": QUARTER}),
        {"11": 164.2, "12": 44.0, "44": 33.7},
        "P. S. Ho, A. L. Ruoff, Phys. Rev. 161, 864 (1967)",
    ),
    "SrTiO3": KnownCrystal(
        _cubic("Pm-3m", 3.905, {"Sr": ORIGIN, "Ti": HALF, "O": [0.5, 0.5, 0.0]}),
        {"11": 315.6, "12": 102.7, "44": 121.5},
        "J. B. Wachtman, M. L. Wheat, S. Marzullo, J. Res. Natl. Bur. Stand. A 67, 193 (1963)",
    ),
    "Al": KnownCrystal(
        _cubic("Fm-3m", 4.050, {"Al": ORIGIN}),
        {"11": 106.8, "12": 60.4, "44": 28.3},
        "J. F. Thomas, Phys. Rev. 175, 955 (1968)",
    ),
    "Cu": KnownCrystal(
        _cubic("Fm-3m", 3.615, {"Cu": ORIGIN}),
        {"11": 168.4, "12": 121.4, "44": 75.4},
        "W. C. Overton, J. Gaffney, Phys. Rev. 98, 969 (1955)",
    ),
    "Fe": KnownCrystal(
        _cubic("Im-3m", 2.866, {"Fe": ORIGIN}),
        {"11": 233.1, "12": 135.4, "44": 117.8},
        "J. A. Rayne, B. S. Chandrasekhar, Phys. Rev. 122, 1714 (1961)",
    ),
    "TiO2 rutile": KnownCrystal(
        Structure.from_spacegroup(
            "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [ORIGIN, [0.305, 0.305, 0.0]]
        ),
        {"11": 268, "33": 484, "44": 123.8, "66": 190.2, "12": 175, "13": 147},
        "D. G. Isaak, J. D. Carnes, O. L. Anderson, H. Cynn, E. Hake, Phys. Chem. Miner. 26, 31 (1998)",
    ),
    "ZnO wurtzite": KnownCrystal(
        Structure.from_spacegroup(
            "P6_3mc", Lattice.hexagonal(3.250, 5.207), ["Zn", "O"], [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.382]]
        ),
        {"11": 209.7, "33": 210.9, "44": 42.5, "12": 121.1, "13": 105.1},
        "T. B. Bateman, J. Appl. Phys. 33, 3309 (1962)",
    ),
}
