"""Moduli of polycrystals and other numbers that a stiffness tensor, or an equation of state, is summed up by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLOOR = 1.0  # GPa: softer deformations, also those that lower the energy, count as this stiff in averages


@dataclass(frozen=True, slots=True)
class Moduli:
    """Bulk and shear moduli after Voigt, Reuss and Hill (Hill, Proc. Phys. Soc. A 65, 349, 1952), in GPa."""

    K_V: float
    K_R: float
    G_V: float
    G_R: float

    @property
    def K_H(self) -> float:  # noqa: N802
        """Hill's bulk modulus, the mean of Voigt's and Reuss's."""
        return (self.K_V + self.K_R) / 2

    @property
    def G_H(self) -> float:  # noqa: N802
        """Hill's shear modulus, the mean of Voigt's and Reuss's."""
        return (self.G_V + self.G_R) / 2

    @property
    def poisson_ratio(self) -> float:
        """Of an isotropic solid of Hill's moduli: ``(3 K - 2 G) / (6 K + 2 G)``."""
        return (3 * self.K_H - 2 * self.G_H) / (6 * self.K_H + 2 * self.G_H)

    @property
    def anisotropy(self) -> float:
        """``5 G_V / G_R + K_V / K_R - 6`` (Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504, 2008)."""
        return max(5 * self.G_V / self.G_R + self.K_V / self.K_R - 6, 0.0)


def moduli(stiffness: np.ndarray) -> Moduli:
    """The moduli of a stiffness whose eigenvalues below 1 GPa are raised to that, so that all of them are positive.

    Args:
        stiffness: In GPa and Mandel's notation ``[6, 6]``.
    """
    values, deformations = np.linalg.eigh(stiffness)
    raised = np.maximum(values, FLOOR)
    stiff = (deformations * raised) @ deformations.T
    compliant = (deformations / raised) @ deformations.T
    K_V, K_R = stiff[:3, :3].sum() / 9, 1 / compliant[:3, :3].sum()
    G_V = (np.trace(stiff) - 3 * K_V) / 10
    G_R = 2.5 / (np.trace(compliant) - 1 / (3 * K_R))
    return Moduli(K_V=float(K_V), K_R=float(K_R), G_V=float(G_V), G_R=float(G_R))


def equation_of_state(ratios: np.ndarray, pressures: np.ndarray) -> tuple[float, float]:
    """Bulk modulus and its slope by the pressure, both at rest.

    A fit of the pressures of Birch and Murnaghan, ``p = 3 K f (1 + 2 f)^(5/2) (1 + 3/2 (K' - 4) f)`` with the Eulerian
    strain ``f = ((V0 / V)^(2/3) - 1) / 2`` (Birch, Phys. Rev. 71, 809, 1947).

    Args:
        ratios: Volumes over the volume at rest ``[n]``.
        pressures: In any unit, which is that of the bulk modulus ``[n]``.
    """
    f = (ratios ** (-2 / 3) - 1) / 2
    first = 3 * f * (1 + 2 * f) ** 2.5
    (bulk, product), *_ = np.linalg.lstsq(np.stack([first, first * f], axis=1), pressures, rcond=None)
    slope = 4 + product / (1.5 * bulk) if bulk != 0 else 4.0
    return float(bulk), float(slope)
