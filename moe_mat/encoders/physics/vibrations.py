"""The vibrations of a crystal in numbers: frequencies, amplitudes, and what is soft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.constants import angstrom, atomic_mass, c, eV, hbar, k

from moe_mat.encoders.physics.quantities import Quantity

PER_CM = 2 * np.pi * c * 100  # 1/s: the angular frequency of 1/cm
WAVENUMBER = np.sqrt(eV / angstrom**2 / atomic_mass) / PER_CM  # 1/cm: that of the square root of 1 eV/Å²/u
ZERO_POINT = hbar / (2 * atomic_mass * PER_CM) / angstrom**2  # Å² u/cm: <u²> of a mode at rest times m omega
ROOM = k * 300 / (hbar * PER_CM)  # 1/cm: thermal energy at 300 K
LOWEST = 30.0  # 1/cm: frequencies do not count as lower where they are divided by
SOFT = 20.0  # 1/cm
FLOOR = 1.0  # 1/cm
NEAR_TOP = 0.05
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)

QUANTITIES = (
    Quantity("highest frequency", "ln(1/cm)", "ln(max omega + 1)"),
    Quantity("highest frequency at Γ", "ln(1/cm)", "ln(max omega at the zone centre + 1)"),
    Quantity("mean of the highest branch", "ln(1/cm)", "ln(mean over q of max omega + 1)"),
    Quantity("lowest of the highest branch", "ln(1/cm)", "ln(min over q of max omega + 1)"),
    Quantity("centre of the highest frequencies", "ln(1/cm)", "ln(sum w omega / sum w + 1)"),
    Quantity("mass of the highest modes", "ln(u)", "sum over modes and atoms of w p ln m / sum w"),
    Quantity("mean frequency", "ln(1/cm)", "ln(mean omega + 1)"),
    Quantity("root mean square frequency", "ln(1/cm)", "ln(sqrt(mean omega²) + 1)"),
    Quantity("fourth moment", "ln(1/cm)", "ln((mean omega^4)^(1/4) + 1)"),
    Quantity("inverse first moment", "ln(1/cm)", "-ln(mean 1 / omega_30)"),
    Quantity("inverse second moment", "ln(1/cm)", "-ln(mean 1 / omega_30²) / 2"),
    *(Quantity(f"frequency, quantile {q}", "ln(1/cm)", f"ln(quantile {q} of omega + 1)") for q in SHARES),
    Quantity("widest gap", "1", "largest difference of neighbouring omega, of all q, over max omega + 1"),
    Quantity("softest mode", "1", "asinh(min omega / 20), negative where omega² is"),
    Quantity("soft modes", "1", "share of modes with omega² < -20²"),
    Quantity("mean amplitude", "ln(Å)", "ln(mean over atoms of sqrt(<u²>) + 0.001)"),
    Quantity("largest amplitude", "ln(Å)", "ln(max over atoms of sqrt(<u²>) + 0.001)"),
    Quantity("highest Einstein frequency", "ln(1/cm)", "ln(max over atoms of omega_E + 1)"),
    Quantity("lowest Einstein frequency", "ln(1/cm)", "ln(min over atoms of omega_E + 1)"),
    Quantity("heat capacity", "1", "mean of the heat capacity of omega_30 at 300 K, in k"),
)
"""Of the spectrum. Omega is a frequency in 1/cm, 0 where its square is negative, omega_30² = omega² + 30², w =
exp(-((1 - omega / max omega) / 0.05)² / 2), p the share of an atom in a mode, <u²> its mean square amplitude in one
direction at 300 K (of omega_30), omega_E the frequency of an atom when all others rest. The three modes at the zone
centre that move the crystal as a whole do not count."""


@dataclass(frozen=True, slots=True)
class Vibrations:
    """Normal modes at one or several wave vectors, the zone centre first.

    Attributes:
        squares: Squares of the frequencies, in 1/cm², ascending ``[n_q, n_modes]``.
        shares: Of each atom in each mode, which sum to 1 over the atoms ``[n_q, n_modes, n_atoms]``.
        counted: Which modes are no motion of the whole crystal ``[n_q, n_modes]``.
        einstein: Square of the frequency of each atom when all others rest, in 1/cm² ``[n_atoms]``.
        masses: Of the atoms, in u ``[n_atoms]``.
    """

    squares: np.ndarray
    shares: np.ndarray
    counted: np.ndarray
    einstein: np.ndarray
    masses: np.ndarray

    @classmethod
    def of_matrices(cls, matrices: np.ndarray, masses: np.ndarray) -> Vibrations:
        """Of dynamical matrices, Hermitian, in eV/Å²/u ``[n_q, 3 n_atoms, 3 n_atoms]``."""
        n_q, n = len(matrices), len(masses)
        squares, modes = np.linalg.eigh(matrices)
        counted = np.ones((n_q, 3 * n), dtype=bool)
        counted[0, np.argsort(np.abs(squares[0]))[:3]] = False
        diagonal = np.einsum("qii->qi", matrices).real.reshape(n_q, n, 3).mean(axis=(0, 2))
        return cls(
            squares=squares * WAVENUMBER**2,
            shares=(np.abs(modes.reshape(n_q, n, 3, 3 * n)) ** 2).sum(axis=2).transpose(0, 2, 1),
            counted=counted,
            einstein=diagonal * WAVENUMBER**2,
            masses=masses,
        )


def vibration_numbers(modes: Vibrations) -> dict[str, float]:
    """The numbers of `QUANTITIES` by name; NaN for a spectrum that has none but the motion of the whole crystal."""
    if not modes.counted.any() or not np.isfinite(modes.squares).all():
        return {quantity.name: np.nan for quantity in QUANTITIES}
    of_modes = np.where(modes.counted, np.sqrt(np.maximum(modes.squares, 0)), np.nan)
    squares = modes.squares[modes.counted]
    frequencies = of_modes[modes.counted]
    held = np.sqrt(frequencies**2 + LOWEST**2)
    softest = squares.min()
    energies = held / ROOM
    numbers = {
        **_top(modes, of_modes),
        "mean frequency": _log(frequencies.mean()),
        "root mean square frequency": _log(np.sqrt((frequencies**2).mean())),
        "fourth moment": _log((frequencies**4).mean() ** 0.25),
        "inverse first moment": -np.log((1 / held).mean()),
        "inverse second moment": -np.log((1 / held**2).mean()) / 2,
        **{f"frequency, quantile {q}": _log(np.quantile(frequencies, q)) for q in SHARES},
        "widest gap": np.diff(np.sort(frequencies), prepend=0).max() / (frequencies.max() + FLOOR),
        "softest mode": np.arcsinh(np.sign(softest) * np.sqrt(abs(softest)) / SOFT),
        "soft modes": (squares < -(SOFT**2)).mean(),
        **_of_atoms(modes),
        "heat capacity": ((energies / 2 / np.sinh(energies / 2)) ** 2).mean(),
    }
    return {name: float(value) for name, value in numbers.items()}


def _log(frequency: float) -> float:
    return float(np.log(frequency + FLOOR))


def _top(modes: Vibrations, frequencies: np.ndarray) -> dict[str, float]:
    """What is near the upper end of the spectrum ``[n_q, n_modes]``, NaN for motions of the whole crystal."""
    highest = np.nanmax(frequencies[modes.counted.any(axis=1)], axis=1)
    frequencies = np.nan_to_num(frequencies)
    near = np.exp(-(((1 - frequencies / max(highest.max(), FLOOR)) / NEAR_TOP) ** 2) / 2) * modes.counted
    near /= max(near.sum(), np.finfo(float).tiny)
    return {
        "highest frequency": _log(highest.max()),
        "highest frequency at Γ": _log(highest[0]) if modes.counted[0].any() else np.nan,
        "mean of the highest branch": _log(highest.mean()),
        "lowest of the highest branch": _log(highest.min()),
        "centre of the highest frequencies": _log((near * frequencies).sum()),
        "mass of the highest modes": np.einsum("qm,qma,a->", near, modes.shares, np.log(modes.masses)),
    }


def _of_atoms(modes: Vibrations) -> dict[str, float]:
    held = np.sqrt(np.maximum(modes.squares, 0) + LOWEST**2)
    of_modes = np.where(modes.counted, ZERO_POINT / held / np.tanh(held / ROOM / 2), 0)
    amplitudes = np.sqrt(np.einsum("qm,qma->a", of_modes, modes.shares) / len(held) / 3 / modes.masses)
    einstein = np.sqrt(np.maximum(modes.einstein, 0))
    return {
        "mean amplitude": np.log(amplitudes.mean() + 1e-3),
        "largest amplitude": np.log(amplitudes.max() + 1e-3),
        "highest Einstein frequency": _log(einstein.max()),
        "lowest Einstein frequency": _log(einstein.min()),
    }
