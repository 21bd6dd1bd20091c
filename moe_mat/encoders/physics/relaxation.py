"""The crystal at rest: cell and atoms relaxed together in a potential, symmetry kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moe_mat.encoders.physics.operations import Operations
from moe_mat.encoders.physics.potentials import Cell, Evaluation
from moe_mat.encoders.physics.rounds import Calculation

LARGEST_FORCE = 0.01  # eV/Å, at which a crystal is at rest
LARGEST_STRESS = 0.0003  # eV/Å³, 0.05 GPa
MOST_STEPS = 30
FARTHEST_FROM_GIVEN = 0.1  # strain beyond which a crystal has no rest near by, such as layers that nothing binds
FARTHEST_MOVE = 0.1  # Å, of an atom in one step
FARTHEST_STRAIN = 0.02  # of the cell in one step
# The curvature that steps start from: some 10 eV/Å² for an atom, and for a strain that of a stiffness of 100 GPa.
STIFFNESS_OF_ATOMS = 10.0
STIFFNESS_OF_VOLUME = 0.6


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A crystal at rest.

    Attributes:
        cell: Relaxed.
        strain: Of its cell, from the one that was given; symmetric ``[3, 3]``.
        evaluation: Of the relaxed cell.
        energy: Gained, in eV per cell.
        at_rest: Whether forces and stresses have vanished; not where there were too many steps, or there is no rest
            within a strain of 10 %.
    """

    cell: Cell
    strain: np.ndarray
    evaluation: Evaluation
    energy: float
    at_rest: bool


def relax(cell: Cell, operations: Operations) -> Calculation[Relaxed]:
    """Relax cell and atoms together by quasi-Newton steps.

    The update of the inverse curvature is that of Broyden, Fletcher, Goldfarb and Shanno (Nocedal and Wright, Numerical
    Optimization, 2006, eq. 6.17). The variables are the positions before the strain, and the strain, as in Tadmor et
    al. (Phys. Rev. B 59, 235, 1999), so that the result does not depend on how the crystal is turned.

    Args:
        cell: The crystal.
        operations: Its symmetry.
    """
    n = cell.positions.size
    scales = np.concatenate([np.full(n, STIFFNESS_OF_ATOMS), np.full(9, STIFFNESS_OF_VOLUME * cell.volume)])
    point, inverse = np.zeros(n + 9), np.diag(1 / scales)
    first = best = None
    last: tuple[np.ndarray, np.ndarray] | None = None
    for _ in range(MOST_STEPS):
        if np.abs(point[n:]).max() > FARTHEST_FROM_GIVEN:
            break
        current = _at(cell, point)
        (evaluation,) = yield [current]
        slope = _slope(evaluation, current, point[n:].reshape(3, 3), operations)
        first = evaluation.energy if first is None else first
        best = (current, point[n:].reshape(3, 3), evaluation)
        forces, stress = slope[:n], slope[n:] / cell.volume
        if np.abs(forces).max() < LARGEST_FORCE and np.abs(stress).max() < LARGEST_STRESS:
            return Relaxed(current, best[1], evaluation, first - evaluation.energy, True)
        if last is not None:
            inverse = _updated(inverse, point - last[0], slope - last[1])
        last = (point, slope)
        step = -inverse @ slope
        farthest = max(np.abs(step[:n]).max() / FARTHEST_MOVE, np.abs(step[n:]).max() / FARTHEST_STRAIN, 1.0)
        point = point + step / farthest
    assert best is not None
    assert first is not None
    return Relaxed(best[0], best[1], best[2], first - best[2].energy, False)


def _at(cell: Cell, point: np.ndarray) -> Cell:
    n = cell.positions.size
    return cell.moved(point[:n].reshape(-1, 3)).strained(point[n:].reshape(3, 3))


def _slope(evaluation: Evaluation, cell: Cell, strain: np.ndarray, operations: Operations) -> np.ndarray:
    """Slope of the energy by the positions before the strain and by the strain ``[3 n_atoms + 9]``."""
    assert evaluation.forces is not None
    assert evaluation.stress is not None
    deformation = np.eye(3) + strain
    forces = operations.images_of_vectors(evaluation.forces).mean(axis=0) @ deformation
    stress = operations.images_of_tensor(evaluation.stress).mean(axis=0)
    by_strain = cell.volume * np.linalg.solve(deformation, stress)
    return np.concatenate([-forces.ravel(), ((by_strain + by_strain.T) / 2).ravel()])


def _updated(inverse: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The inverse curvature after a step and the slope's change along it; the same where the curvature is negative."""
    along = float(step @ change)
    if along < 1e-3 * float(step @ step):
        return inverse
    moved = np.eye(len(step)) - np.outer(step, change) / along
    return moved @ inverse @ moved.T + np.outer(step, step) / along
