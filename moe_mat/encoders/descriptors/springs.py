"""A toy crystal of masses and central springs: its vibrations and its elastic constants, in a few milliseconds.

The force constant of a bond is ``k = X_i X_j / d^3``, with Pauling electronegativities X and the length d in Å. It has
the product of electronegativities from Gordy's rule (J. Chem. Phys. 14, 305, 1946) and the inverse cube from Badger's
(J. Chem. Phys. 2, 128, 1934), and fades with the weight of the bond in the shells of its two ends. Masses are in atomic
mass units. All results are therefore in arbitrary units, and meant to be compared between crystals only.

Lattice dynamics and elasticity are those of Born and Huang (Dynamical Theory of Crystal Lattices, 1954) for springs at
rest. Symmetric tensors are six-vectors in Mandel's notation (xx, yy, zz, √2 yz, √2 xz, √2 xy), in which the eigenvalues
of the elastic constants do not depend on the axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.descriptors.shells import Shells, over_atoms

NEGLIGIBLE = 1e-4  # the weight of a bond that gets no spring
INERT = 0.5  # electronegativity of helium, neon, argon and radon, which have none: their springs are soft
DENSE_ATOMS = 16  # up to this many atoms in the primitive cell, frequencies are sampled at all eight wave vectors
MOST_ATOMS = 100  # beyond, the atoms vibrate one by one
FREQUENCY_FLOOR = 3e-3  # a hundredth of a typical top frequency
MODULUS_FLOOR = 1e-4
REGULARISATION = 1e-2  # of the mean stiffness: networks of central springs often have deformations that cost nothing
# The wave vectors that are half a reciprocal lattice vector do not depend on the choice of the primitive cell, and
# their matrices are real.
HALVES = np.array(list(product([0, 1], repeat=3)))


@dataclass(frozen=True, slots=True)
class SpringNetwork:
    """Masses and springs of one primitive cell. Each spring appears once from either end.

    Attributes:
        masses: In atomic mass units ``[n_atoms]``.
        i: Atom that each spring starts from ``[n_springs]``.
        j: Atom that it ends at ``[n_springs]``.
        images: Cell of that atom, in lattice vectors ``[n_springs, 3]``.
        lengths: In Å ``[n_springs]``.
        directions: Unit vectors ``[n_springs, 3]``.
        constants: Force constants ``[n_springs]``.
        volume: Of the cell, in Å^3.
    """

    masses: np.ndarray
    i: np.ndarray
    j: np.ndarray
    images: np.ndarray
    lengths: np.ndarray
    directions: np.ndarray
    constants: np.ndarray
    volume: float


def spring_network(shells: Shells) -> SpringNetwork:
    """Put a spring on every bond that is not negligible from both ends."""
    stiffness = bare_stiffness(shells)
    weights = (shells.weights + shells.weights_back) / 2
    kept = weights > NEGLIGIBLE
    return SpringNetwork(
        masses=element_property("AtomicWeight")[shells.atomic_numbers],
        i=shells.i[kept],
        j=shells.j[kept],
        images=shells.images[kept],
        lengths=shells.lengths[kept],
        directions=shells.directions[kept],
        constants=(weights * stiffness)[kept],
        volume=shells.volume,
    )


def bare_stiffness(shells: Shells) -> np.ndarray:
    """``X_i X_j / d^3`` of every bond ``[n_bonds]``."""
    values = np.nan_to_num(element_property("Electronegativity"), nan=INERT)[shells.atomic_numbers]
    return values[shells.i] * values[shells.j] / shells.lengths**3


def force_matrices(springs: SpringNetwork) -> np.ndarray:
    """Second derivatives of the energy at the eight half reciprocal lattice vectors, Γ first: ``[8, 3 n, 3 n]``."""
    n = len(springs.masses)
    blocks = springs.constants[:, None, None] * springs.directions[:, :, None] * springs.directions[:, None, :]
    # Images count by their parity only: a wave changes sign, or does not, from a cell to the next.
    parity = (springs.images % 2) @ np.array([4, 2, 1])
    flat = _sum_at((parity * n + springs.i) * n + springs.j, -blocks, 8 * n * n)
    signs = 1.0 - 2.0 * ((HALVES @ HALVES.T) % 2)
    matrices = np.tensordot(signs, flat.reshape(8, n, n, 3, 3), axes=1)
    matrices[:, np.arange(n), np.arange(n)] += _sum_at(springs.i, blocks, n)
    return matrices.transpose(0, 1, 3, 2, 4).reshape(8, 3 * n, 3 * n)


def _sum_at(index: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Sums of ``[m, ...]`` by index, ``[n, ...]``; several times as fast as ``np.add.at``, in the same order."""
    width = int(np.prod(values.shape[1:]))
    places = (index.astype(np.int64)[:, None] * width + np.arange(width)).ravel()
    return np.bincount(places, weights=values.ravel(), minlength=n * width).reshape(n, *values.shape[1:])


def frequencies(springs: SpringNetwork, matrices: np.ndarray) -> np.ndarray:
    """Angular frequencies ``[n_q, 3 n]``, ascending, from force matrices ``[n_q, 3 n, 3 n]``."""
    inverse = np.repeat(springs.masses**-0.5, 3)
    squares = np.linalg.eigvalsh(matrices * inverse[:, None] * inverse)
    return np.sqrt(np.maximum(squares, 0))


def einstein_frequencies(springs: SpringNetwork) -> np.ndarray:
    """Root mean square frequency of each atom when all others rest ``[n_atoms]``."""
    total = np.bincount(springs.i, weights=springs.constants, minlength=len(springs.masses))
    return np.sqrt(total / 3 / springs.masses)


def mandel(directions: np.ndarray) -> np.ndarray:
    """Squares of unit vectors ``[n, 3]`` as six-vectors ``[n, 6]``."""
    x, y, z = directions.T
    root = np.sqrt(2)
    return np.stack([x * x, y * y, z * z, root * y * z, root * x * z, root * x * y], axis=1)


def elastic_constants(springs: SpringNetwork, matrix: np.ndarray | None = None) -> np.ndarray:
    """Elastic constants ``[6, 6]`` in Mandel's notation: ``sum k d^2 nnnn / V``, each spring once.

    Args:
        springs: The network.
        matrix: Its force matrix at Γ ``[3 n, 3 n]``. With it, the atoms in the cell may follow the strain, each held
            by a weak spring of its own, so that what costs no energy stays where it is.
    """
    strains = mandel(springs.directions)
    energy = springs.constants * springs.lengths
    constants = (strains * (energy * springs.lengths)[:, None]).T @ strains / 2
    if matrix is not None and len(springs.i):
        n = len(springs.masses)
        of_springs = energy[:, None, None] * springs.directions[:, :, None] * strains[:, None, :]
        of_atoms = _sum_at(springs.i, of_springs, n)
        forces = of_atoms.reshape(3 * n, 6)
        held = matrix + np.eye(3 * n) * REGULARISATION * springs.constants.sum() / (3 * n)
        constants -= forces.T @ np.linalg.solve(held, forces)
    return constants / springs.volume


def moduli(constants: np.ndarray) -> dict[str, float]:
    """Bulk and shear modulus after Voigt, Reuss and Hill, and the universal anisotropy ``5 G_V / G_R + K_V / K_R - 6``.

    The latter is that of Ranganathan and Ostoja-Starzewski (Phys. Rev. Lett. 101, 055504, 2008). A hundredth of the
    mean stiffness is added to all six, because Reuss's averages are zero when one deformation costs nothing.

    Args:
        constants: Elastic constants ``[6, 6]`` in Mandel's notation.
    """
    mean = np.trace(constants) / 6
    if mean <= 0:
        return {"K_V": 0.0, "K_R": 0.0, "K_H": 0.0, "G_V": 0.0, "G_R": 0.0, "G_H": 0.0, "anisotropy": 0.0}
    stiffness = constants + REGULARISATION * mean * np.eye(6)
    compliance = np.linalg.inv(stiffness)
    bulk, bulk_reuss = stiffness[:3, :3].sum() / 9, 1 / compliance[:3, :3].sum()
    shear = (np.trace(stiffness) - 3 * bulk) / 10
    shear_reuss = 5 / 2 / (np.trace(compliance) - 1 / (3 * bulk_reuss))
    return {
        "K_V": bulk,
        "K_R": bulk_reuss,
        "K_H": (bulk + bulk_reuss) / 2,
        "G_V": shear,
        "G_R": shear_reuss,
        "G_H": (shear + shear_reuss) / 2,
        "anisotropy": max(5 * shear / shear_reuss + bulk / bulk_reuss - 6, 0.0),
    }


def spring_features(shells: Shells) -> dict[str, float]:
    """Features by name; what an isolated atom has none of is NaN, and what is zero for it sits at a floor.

    Over the atoms, mean, spread, minimum and maximum of the logarithms of the mean force constant, of the reduced mass
    of the bonds and of the Einstein frequency. Of the crystal, as logarithms: quantiles, mean and top of the
    frequencies, the top at Γ, principal values of ``sum k d^2 nn / V``, Voigt and Reuss moduli, softest and stiffest
    deformation, both with the atoms following the strain and without, anisotropies, and speeds of sound.

    Up to 16 atoms in the primitive cell, the frequencies are those at the eight half reciprocal lattice vectors; up to
    100 atoms, those at Γ. In larger cells the Einstein frequencies take their place, and the atoms do not follow.
    """
    springs = spring_network(shells)
    einstein = einstein_frequencies(springs)
    gamma: np.ndarray | None = None
    sampled = einstein[None, :]
    n_atoms = len(springs.masses)
    if n_atoms <= MOST_ATOMS:
        matrices = force_matrices(springs)
        gamma = matrices[0]
        sampled = frequencies(springs, matrices if n_atoms <= DENSE_ATOMS else matrices[:1])
    with np.errstate(divide="ignore"):
        stiffness = np.log(shells.atom_mean(bare_stiffness(shells)))
    masses = springs.masses
    reduced = np.log(masses[shells.i] * masses[shells.j] / (masses[shells.i] + masses[shells.j]))
    return {
        **over_atoms(
            {
                "log stiffness": stiffness,
                "log reduced mass": shells.atom_mean(reduced),
                "log Einstein frequency": np.log(einstein + FREQUENCY_FLOOR),
            }
        ),
        **_vibrations(sampled),
        **_elasticity(springs, gamma),
    }


def _vibrations(sampled: np.ndarray) -> dict[str, float]:
    def log(value: float) -> float:
        return float(np.log(value + FREQUENCY_FLOOR))

    top = sampled.max()
    shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    features = {
        f"log frequency, quantile {q}": log(v) for q, v in zip(shares, np.quantile(sampled, shares), strict=True)
    }
    gaps = np.diff(np.sort(sampled, axis=None))
    return features | {
        "log frequency, mean": log(sampled.mean()),
        "log frequency, top": log(top),
        "log frequency, top at Γ": log(sampled[0, -1]),
        "widest gap over top": float(gaps.max() / top) if top > 0 and len(gaps) else 0.0,
    }


def _elasticity(springs: SpringNetwork, gamma: np.ndarray | None) -> dict[str, float]:
    def log(value: float) -> float:
        return float(np.log(max(value, 0.0) + MODULUS_FLOOR))

    energy = springs.constants * springs.lengths**2 / springs.volume
    tension = np.einsum("b,ba,bc->ac", energy, springs.directions, springs.directions)
    density = springs.masses.sum() / springs.volume
    features = {f"log tension {k}": log(value) for k, value in enumerate(np.linalg.eigvalsh(tension))}
    for name, matrix in (("still", None), ("following", gamma)):
        constants = elastic_constants(springs, matrix)
        modulus = moduli(constants)
        softest, *_, stiffest = np.linalg.eigvalsh(constants)
        features |= {f"log {key}, {name}": log(modulus[key]) for key in ("K_V", "K_R", "G_V", "G_R")}
        features |= {
            f"log anisotropy, {name}": float(np.log1p(modulus["anisotropy"])),
            f"log softest, {name}": log(softest),
            f"log stiffest, {name}": log(stiffest),
            f"log sound, {name}": 0.5 * log(modulus["G_H"] / density),
            f"log K/G, {name}": log(modulus["K_H"]) - log(modulus["G_H"]),
        }
    return features
