"""The spring network against textbook chains and crystals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, reference_crystals

from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import neighbour_shells
from moe_mat.encoders.descriptors.springs import (
    SpringNetwork,
    elastic_constants,
    force_matrices,
    frequencies,
    moduli,
    spring_features,
    spring_network,
)

CRYSTALS = reference_crystals()
ROCKSALT = primitive_cell(CRYSTALS["NaCl rocksalt"])
NA, CL = 22.98976928, 35.453
X_NA, X_CL = 0.93, 3.16


def of_nearest(structure: Structure) -> SpringNetwork:
    """Springs between nearest neighbours only: what textbooks solve."""
    springs = spring_network(neighbour_shells(primitive_cell(structure)))
    near = springs.lengths < 1.01 * springs.lengths.min()
    arrays = {name: getattr(springs, name)[near] for name in ("i", "j", "images", "lengths", "directions", "constants")}
    return SpringNetwork(masses=springs.masses, volume=springs.volume, **arrays)


# Vibrations


def test_a_diatomic_chain() -> None:
    length = 5.64
    chain = Structure(Lattice.tetragonal(30, length), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.5]])
    springs = of_nearest(chain)
    k = X_NA * X_CL / (length / 2) ** 3
    np.testing.assert_allclose(springs.constants, k, rtol=1e-9)
    found = frequencies(springs, force_matrices(springs))
    optical = np.sqrt(2 * k * (1 / NA + 1 / CL))
    edge = np.sqrt([2 * k / CL, 2 * k / NA])
    for wave, values in zip(np.ndindex(2, 2, 2), found, strict=True):
        expected = edge if wave[2] else (0, optical)  # the wave along the chain, at Γ and at the zone boundary
        np.testing.assert_allclose(values, [0, 0, 0, 0, *expected], atol=1e-6, rtol=1e-6)


def test_the_optical_frequency_of_rocksalt() -> None:
    springs = of_nearest(ROCKSALT)
    k = X_NA * X_CL / 2.82**3
    gamma = frequencies(springs, force_matrices(springs))[0]
    np.testing.assert_allclose(gamma[:3], 0, atol=1e-6)
    np.testing.assert_allclose(gamma[3:], np.sqrt(2 * k * (1 / NA + 1 / CL)), rtol=1e-6)


def test_frequencies_are_those_of_a_doubled_cell_at_gamma() -> None:
    """All eight wave vectors of a cell are the centre of the zone of twice the cell along each axis."""
    rutile = CRYSTALS["TiO2 rutile"]
    springs, doubled = spring_network(neighbour_shells(rutile)), spring_network(neighbour_shells(rutile * 2))
    expected = np.sort(frequencies(springs, force_matrices(springs)), axis=None)
    found = frequencies(doubled, force_matrices(doubled)[:1])[0]
    np.testing.assert_allclose(found**2, expected**2, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(ordered_structures())
def test_crystals_as_a_whole_move_and_turn_freely(structure: Structure) -> None:
    springs = spring_network(neighbour_shells(structure))
    matrices = force_matrices(springs)
    np.testing.assert_allclose(matrices, matrices.transpose(0, 2, 1), atol=1e-12)
    uniform = np.tile(np.eye(3), (len(structure), 1))
    np.testing.assert_allclose(matrices[0] @ uniform, 0, atol=1e-9 * max(1, np.abs(matrices).max()))
    assert np.linalg.eigvalsh(matrices).min() > -1e-9 * max(1, np.abs(matrices).max())


# Elasticity


def test_elastic_constants_of_springs_between_nearest_neighbours() -> None:
    """On the simple cubic lattice of rocksalt C11 = k / d, all others zero; in diamond C11 = C12 = C44."""
    k, d = X_NA * X_CL / 2.82**3, 2.82
    found = elastic_constants(of_nearest(ROCKSALT))
    np.testing.assert_allclose(found, np.diag([k / d] * 3 + [0.0] * 3), atol=1e-9)
    length = 5.431
    d = length * 3**0.5 / 4
    k = 1.90**2 / d**3
    per_volume = 16 * k * d**2 / length**3 / 9  # 16 bonds a cell, whose nnnn are 1 / 9
    found = elastic_constants(of_nearest(CRYSTALS["Si diamond"]))
    cubic = np.ones((3, 3)) * per_volume
    np.testing.assert_allclose(
        found, np.block([[cubic, 0 * cubic], [0 * cubic, 2 * per_volume * np.eye(3)]]), atol=1e-9
    )


@pytest.mark.parametrize("name", ["CaTiO3 perovskite", "CaF2 fluorite", "Si diamond", "Al fcc", "CsCl"])
def test_cubic_crystals_have_three_elastic_constants(name: str) -> None:
    springs = spring_network(neighbour_shells(primitive_cell(CRYSTALS[name])))
    for matrix in (None, force_matrices(springs)[0]):
        constants = elastic_constants(springs, matrix)
        c11, c12, c44 = constants[0, 0], constants[0, 1], constants[3, 3] / 2
        off, both = np.full((3, 3), c12) + (c11 - c12) * np.eye(3), np.zeros((3, 3))
        np.testing.assert_allclose(constants, np.block([[off, both], [both, 2 * c44 * np.eye(3)]]), atol=1e-8 * c11)
    assert c44 <= c12 * (1 + 1e-9)  # Cauchy's relation holds for atoms that do not follow, which can only soften
    modulus = moduli(constants)
    assert modulus["K_V"] == pytest.approx(modulus["K_R"])
    assert modulus["K_V"] == pytest.approx((c11 + 2 * c12) / 3, rel=0.02)


def test_moduli_of_an_isotropic_solid_agree() -> None:
    bulk, shear = 3.0, 1.0
    projector = np.zeros((6, 6))
    projector[:3, :3] = 1 / 3
    modulus = moduli(3 * bulk * projector + 2 * shear * (np.eye(6) - projector))
    assert modulus["K_V"] == pytest.approx(modulus["K_R"])
    assert modulus["G_V"] == pytest.approx(modulus["G_R"])
    assert modulus["K_V"] / modulus["G_V"] == pytest.approx(3, rel=0.02)
    assert modulus["anisotropy"] == pytest.approx(0, abs=1e-9)


def test_large_cells_have_a_fallback() -> None:
    rng = np.random.default_rng(0)
    positions = np.array(list(np.ndindex(5, 5, 5))) / 5 + rng.uniform(-0.02, 0.02, (125, 3))
    features = spring_features(neighbour_shells(Structure(Lattice.cubic(13), ["Si"] * 125, positions)))
    assert np.isfinite(list(features.values())).all()
    assert features["log G_R, following"] == features["log G_R, still"]
