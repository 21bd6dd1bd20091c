"""Relaxation and stiffness against brute force in a potential of closed form, and moduli against known numbers."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import GPa
from pymatgen.core import Lattice, Structure
from toy_potential import ToyPotential

from moe_mat.encoders import Cell
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.physics.moduli import equation_of_state, moduli
from moe_mat.encoders.physics.operations import operations_of
from moe_mat.encoders.physics.relaxation import Relaxed, relax
from moe_mat.encoders.physics.rounds import run_together
from moe_mat.encoders.physics.stiffness import Steps, distinct_strains, from_mandel, stiffness, to_mandel

POTENTIAL = ToyPotential({8: 1.05, 16: 1.1, 22: 1.4, 30: 1.35})
STEPS = Steps(strain=0.002, displacement=0.005)


FLUORITE = primitive_cell(
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.3), ["Ti", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]])
)


def four_kinds(displacement: float) -> Structure:
    """Fluorite of four kinds of atoms, in a double cell, and off their places by a displacement, in Å."""
    doubled = FLUORITE * [2, 1, 1]
    moves = np.random.default_rng(0).normal(scale=displacement, size=(6, 3))
    species = ["Ti", "Zn", "O", "O", "S", "S"]
    return Structure(doubled.lattice, species, doubled.cart_coords + moves, coords_are_cartesian=True)


STRUCTURES = {"fluorite": FLUORITE, "four kinds": four_kinds(0), "no symmetry": four_kinds(0.03)}


def at_rest(structure: Structure) -> Relaxed:
    primitive = primitive_cell(structure)
    return run_together(POTENTIAL, [relax(Cell.of(primitive), operations_of(primitive))])[0]


def brute_force(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Clamped and relaxed stiffness from six strains and all force constants, without symmetry."""
    h, n = 1e-4, cell.positions.size
    strains = [from_mandel(row) for row in np.eye(6)]
    found = [
        POTENTIAL.evaluate([cell.strained(sign * h * s) for sign in (1, -1)], forces=True, stress=True) for s in strains
    ]
    clamped = np.array([to_mandel((a.stress - b.stress) / (2 * h)) for a, b in found])
    pulls = np.array([((a.forces - b.forces) / (2 * h)).ravel() for a, b in found]).T
    moves = np.eye(n).reshape(n, -1, 3)
    pairs = [POTENTIAL.evaluate([cell.moved(sign * h * m) for sign in (1, -1)], forces=True) for m in moves]
    constants = -np.array([((a.forces - b.forces) / (2 * h)).ravel() for a, b in pairs])
    relaxed = clamped - pulls.T @ np.linalg.pinv((constants + constants.T) / 2, rcond=1e-6) @ pulls / cell.volume
    return clamped, relaxed


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_stiffness_is_that_of_all_strains_and_force_constants(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stresses that are left would make slopes of the stress, and of the energy, differ.
    monkeypatch.setattr("moe_mat.encoders.physics.relaxation.LARGEST_STRESS", 1e-7)
    monkeypatch.setattr("moe_mat.encoders.physics.relaxation.LARGEST_FORCE", 1e-6)
    monkeypatch.setattr("moe_mat.encoders.physics.relaxation.MOST_STEPS", 100)
    relaxed = at_rest(STRUCTURES[name])
    operations = operations_of(primitive_cell(STRUCTURES[name]))
    found = run_together(POTENTIAL, [stiffness(relaxed.cell, operations, STEPS, follow=True)])[0]
    clamped, following = brute_force(relaxed.cell)
    scale = np.trace(clamped) / 6
    assert np.linalg.norm(clamped - following) > 0.01 * scale  # atoms do move
    np.testing.assert_allclose(found.clamped, clamped, atol=0.002 * scale)
    np.testing.assert_allclose(found.relaxed, following, atol=0.005 * scale)


def test_symmetry_saves_strains() -> None:
    counts = {name: len(distinct_strains(operations_of(primitive_cell(s)))) for name, s in STRUCTURES.items()}
    assert counts == {"fluorite": 1, "four kinds": 2, "no symmetry": 6}


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_relaxed_crystals_are_at_rest(name: str) -> None:
    relaxed = at_rest(STRUCTURES[name])
    (evaluation,) = POTENTIAL.evaluate([relaxed.cell], forces=True, stress=True)
    assert relaxed.at_rest
    assert relaxed.energy > 0
    assert evaluation.forces is not None
    assert evaluation.stress is not None
    assert np.abs(evaluation.forces).max() < 0.011
    assert np.abs(evaluation.stress).max() < 0.0004


def test_what_has_no_rest_near_by_is_not_followed_far() -> None:
    stretched = FLUORITE.copy()
    stretched.scale_lattice(stretched.volume * 1.5)
    assert not at_rest(stretched).at_rest


def test_calculations_share_rounds() -> None:
    crystals = [primitive_cell(s) for s in STRUCTURES.values()]
    together = run_together(POTENTIAL, [relax(Cell.of(s), operations_of(s)) for s in crystals])
    for structure, found in zip(STRUCTURES.values(), together, strict=True):
        np.testing.assert_allclose(found.cell.lattice, at_rest(structure).cell.lattice, atol=1e-8)


def test_mandel_vectors_keep_lengths() -> None:
    tensor = np.random.default_rng(0).normal(size=(3, 3))
    tensor = tensor + tensor.T
    assert np.linalg.norm(to_mandel(tensor)) == pytest.approx(np.linalg.norm(tensor))
    np.testing.assert_allclose(from_mandel(to_mandel(tensor)), tensor)


def cubic(c11: float, c12: float, c44: float) -> np.ndarray:
    matrix = np.diag([float(c11)] * 3 + [2.0 * c44] * 3)
    matrix[:3, :3] += c12 * (1 - np.eye(3))
    return matrix


def test_moduli_of_copper() -> None:
    found = moduli(cubic(168.4, 121.4, 75.4))
    assert pytest.approx((168.4 + 2 * 121.4) / 3) == found.K_H
    assert pytest.approx((168.4 - 121.4 + 3 * 75.4) / 5) == found.G_V
    shear = (168.4 - 121.4) / 2
    assert pytest.approx(5 * shear * 75.4 / (2 * 75.4 + 3 * shear)) == found.G_R
    assert found.poisson_ratio == pytest.approx(0.345, abs=0.005)
    assert found.anisotropy == pytest.approx(6 / 5 * (np.sqrt(75.4 / shear) - np.sqrt(shear / 75.4)) ** 2)


def test_moduli_of_unstable_crystals_are_finite() -> None:
    for stiff in (np.zeros((6, 6)), cubic(50, 80, -10), np.diag([-1.0] * 6)):
        found = moduli(stiff)
        values = [found.K_V, found.K_R, found.G_V, found.G_R, found.poisson_ratio, found.anisotropy]
        assert np.isfinite(values).all()
        assert min(values[:4]) > 0


def test_equation_of_state_is_read_back() -> None:
    bulk, slope, ratios = 76 * GPa, 4.6, np.array([0.94, 0.97, 1.03, 1.06])
    f = (ratios ** (-2 / 3) - 1) / 2
    pressures = 3 * bulk * f * (1 + 2 * f) ** 2.5 * (1 + 1.5 * (slope - 4) * f)
    assert equation_of_state(ratios, pressures) == pytest.approx((bulk, slope))
    assert equation_of_state(ratios, np.zeros(4)) == (0.0, 4.0)
