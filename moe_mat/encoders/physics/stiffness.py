"""The stiffness tensor of a crystal at rest, with its atoms held and with its atoms following the strain.

The energy of a cell of volume V to second order in strains ε and displacements u (Born and Huang, Dynamical Theory of
Crystal Lattices, 1954) has the clamped stiffness C, the forces Λ that a strain puts on the atoms, and the force
constants K. Atoms come to rest at u = K⁻¹ Λ ε, and the relaxed stiffness is C - Λᵀ K⁻¹ Λ / V. C and Λ come from
stresses and forces under a few small strains, as many as the symmetry leaves different. K is never computed as a whole:
it acts on as many displacements as the forces Λ need, starting from Λ itself (a block Krylov space, closed under the
symmetry), and in the space of these the atoms come to rest exactly.

Symmetric tensors are six-vectors in Mandel's notation (xx, yy, zz, √2 yz, √2 xz, √2 xy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from moe_mat.encoders.physics.operations import Operations
from moe_mat.encoders.physics.potentials import Cell, Evaluation
from moe_mat.encoders.physics.rounds import Calculation

MOST_ROUNDS = 8  # of displacements
CONVERGED = 1e-3  # of the mean clamped stiffness, by which the last round would still change it
SOFTEST = 0.1  # eV/Å²: along softer displacements, atoms have no place of rest near by, and stay
INDEPENDENT = 0.05  # share of the longest of some displacements, below which one is a combination of the others
CANDIDATES = np.random.default_rng(0).normal(size=(30, 6))  # strains to choose from: anything without symmetry
CANDIDATES /= np.linalg.norm(CANDIDATES, axis=1, keepdims=True)
ENOUGH = 0.03  # how well all six strains must be covered; 1/6 were even

_ROW, _COLUMN = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
_WEIGHT = np.array([1, 1, 1, np.sqrt(2), np.sqrt(2), np.sqrt(2)])


@dataclass(frozen=True, slots=True)
class Stiffness:
    """Second derivatives of the energy.

    Attributes:
        clamped: With the atoms held, in eV/Å³ ``[6, 6]``.
        relaxed: With the atoms following the strain, in eV/Å³ ``[6, 6]``.
        displacements: Of the atoms under a strain of one, in Å ``[n_atoms, 3, 6]``.
        softest: Smallest curvature met among the displacements, in eV/Å²; infinite where symmetry holds all atoms.
    """

    clamped: np.ndarray
    relaxed: np.ndarray
    displacements: np.ndarray
    softest: float


def to_mandel(tensors: np.ndarray) -> np.ndarray:
    """Symmetric tensors ``[..., 3, 3]`` as six-vectors ``[..., 6]``."""
    return tensors[..., _ROW, _COLUMN] * _WEIGHT


def from_mandel(vectors: np.ndarray) -> np.ndarray:
    """Six-vectors ``[..., 6]`` as symmetric tensors ``[..., 3, 3]``."""
    tensors = np.zeros((*vectors.shape[:-1], 3, 3))
    tensors[..., _ROW, _COLUMN] = tensors[..., _COLUMN, _ROW] = vectors / _WEIGHT
    return tensors


def distinct_strains(operations: Operations) -> np.ndarray:
    """The fewest strains that, with their images under the symmetry, cover all strains: ``[n, 6]``, n from 1 to 6.

    They are the same for a crystal that is turned.
    """
    candidates = to_mandel(operations.axes.T @ from_mandel(CANDIDATES) @ operations.axes)
    covered = np.array(
        [[np.outer(v, v) for v in to_mandel(operations.images_of_tensor(from_mandel(c)))] for c in candidates]
    ).mean(axis=1)
    chosen: list[int] = []
    total = np.zeros((6, 6))
    while not chosen or (np.linalg.eigvalsh(total)[0] < ENOUGH and len(chosen) < 6):
        gains = np.linalg.slogdet(total + covered + 1e-3 * np.eye(6))[1]
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        total = total + covered[chosen[-1]]
    return candidates[chosen]


@dataclass(frozen=True, slots=True)
class Steps:
    """How far a crystal is taken from rest, either way.

    Attributes:
        strain: Norm of the strains.
        displacement: Of the atom that moves farthest, in Å.
    """

    strain: float
    displacement: float


def stiffness(cell: Cell, operations: Operations, steps: Steps, *, follow: bool) -> Calculation[Stiffness]:
    """Compute the stiffness by finite strains and displacements, each in both directions.

    Args:
        cell: At rest.
        operations: Its symmetry.
        steps: Of the finite differences.
        follow: Whether the atoms follow; if not, the relaxed stiffness is the clamped one.
    """
    strains = distinct_strains(operations)
    evaluations = yield [cell.strained(sign * steps.strain * from_mandel(s)) for s in strains for sign in (1, -1)]
    slopes = [_difference(pair, 2 * steps.strain) for pair in zip(evaluations[::2], evaluations[1::2], strict=True)]
    of_strains = np.concatenate([to_mandel(operations.images_of_tensor(from_mandel(s))) for s in strains])
    of_stress = np.concatenate([to_mandel(operations.images_of_tensor(stress)) for _, stress in slopes])
    of_forces = np.concatenate([operations.images_of_vectors(forces) for forces, _ in slopes])
    n = cell.positions.size
    inverse = np.linalg.pinv(of_strains)  # [6, n_strains]
    clamped = inverse @ of_stress
    clamped = (clamped + clamped.T) / 2
    pulls = (inverse @ of_forces.reshape(-1, n)).T  # [3 n_atoms, 6]
    if not follow:
        return Stiffness(clamped, clamped, np.zeros((n // 3, 3, 6)), np.inf)
    enough = CONVERGED * np.trace(clamped) / 6 * cell.volume
    space = yield from _follow(cell, operations, pulls, strains, step=steps.displacement, enough=enough)
    displacements = space.rest(pulls)
    relaxed = clamped - pulls.T @ displacements / cell.volume
    return Stiffness(clamped, (relaxed + relaxed.T) / 2, displacements.reshape(-1, 3, 6), space.softest)


def _difference(pair: Sequence[Evaluation], step: float) -> tuple[np.ndarray, np.ndarray]:
    """Change of forces and stress from the second cell to the first, over a step."""
    (forces, other), (stress, other_stress) = [e.forces for e in pair], [e.stress for e in pair]
    assert forces is not None and other is not None and stress is not None and other_stress is not None  # noqa: PT018
    return (forces - other) / step, (stress - other_stress) / step


@dataclass
class _Space:
    """Displacements and the forces that oppose them.

    Attributes:
        basis: Orthonormal ``[3 n_atoms, k]``.
        opposed: Force constants times the basis ``[3 n_atoms, k]``.
    """

    basis: np.ndarray
    opposed: np.ndarray
    _solved: tuple[np.ndarray, np.ndarray] | None = field(default=None, init=False)

    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        matrix = self.basis.T @ self.opposed
        return np.linalg.eigh((matrix + matrix.T) / 2)

    @property
    def softest(self) -> float:
        """Smallest curvature."""
        return float(self._modes()[0].min(initial=np.inf))

    def rest(self, pulls: np.ndarray) -> np.ndarray:
        """Where atoms come to rest under forces: ``[3 n_atoms, m]`` to ``[3 n_atoms, m]``."""
        curvatures, modes = self._modes()
        firm = curvatures > SOFTEST
        along = self.basis @ modes[:, firm]
        return along @ ((along.T @ pulls) / curvatures[firm, None])

    def remaining(self, pulls: np.ndarray) -> np.ndarray:
        """What of some forces is not in the space after the atoms have come to rest in it ``[3 n_atoms, m]``."""
        curvatures, modes = self._modes()
        firm = curvatures > SOFTEST
        along = self.basis @ modes[:, firm]
        left = pulls - self.opposed @ (modes[:, firm] @ ((along.T @ pulls) / curvatures[firm, None]))
        return left - self.basis @ (self.basis.T @ left)


def _follow(
    cell: Cell, operations: Operations, pulls: np.ndarray, strains: np.ndarray, *, step: float, enough: float
) -> Calculation[_Space]:
    """A space of displacements in which atoms come to rest under the forces of all strains.

    Args:
        cell: At rest.
        operations: Its symmetry.
        pulls: Forces under strains of one ``[3 n_atoms, 6]``.
        strains: Whose forces, with their images, are all there are ``[n, 6]``.
        step: Of the finite differences, in Å.
        enough: Energy in eV that may still be gained, under strains of one.
    """
    n = cell.positions.size
    space = _Space(np.zeros((n, 0)), np.zeros((n, 0)))
    for _ in range(MOST_ROUNDS):
        left = space.remaining(pulls)
        left = (left.reshape(-1, 3, 6) - left.reshape(-1, 3, 6).mean(axis=0)).reshape(n, 6)
        # Atoms would come to rest after a further displacement of left / curvature, and lower the energy by half of:
        curvature = max(np.trace(space.basis.T @ space.opposed) / max(space.basis.shape[1], 1), 5.0)
        if (left**2).sum() / curvature <= enough:
            break
        directions = (left @ strains.T).T.reshape(len(strains), -1, 3)
        directions = directions[_independent(directions.reshape(len(strains), -1))]
        moves = [step / np.linalg.norm(d, axis=1).max() * d for d in directions]
        evaluations = yield [cell.moved(sign * move) for move in moves for sign in (1, -1)]
        pairs = zip(evaluations[::2], evaluations[1::2], strict=True)
        opposed = [-_difference(pair, 2)[0] for pair in pairs]
        moved = np.concatenate([operations.images_of_vectors(move) for move in moves]).reshape(-1, n).T
        answer = np.concatenate([operations.images_of_vectors(force) for force in opposed]).reshape(-1, n).T
        _, sizes, combinations = np.linalg.svd(moved, full_matrices=False)
        kept = combinations[sizes > INDEPENDENT * sizes[0]].T / sizes[sizes > INDEPENDENT * sizes[0]]
        space = _Space(np.hstack([space.basis, moved @ kept]), np.hstack([space.opposed, answer @ kept]))
    return space


def _independent(vectors: np.ndarray) -> list[int]:
    """Rows of ``vectors`` ``[m, n]`` that are long and no combinations of those taken before."""
    taken: list[int] = []
    left = vectors.copy()
    longest = np.linalg.norm(vectors, axis=1).max()
    while len(taken) < len(vectors):
        lengths = np.linalg.norm(left, axis=1)
        k = int(lengths.argmax())
        if lengths[k] < INDEPENDENT * longest:
            break
        taken.append(k)
        unit = left[k] / lengths[k]
        left = left - np.outer(left @ unit, unit)
    return taken
