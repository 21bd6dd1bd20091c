"""The spring network against textbook chains and crystals, the primitive cell, point groups, and gaps."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, reference_crystals, rotated

from moe_mat.encoders.descriptors.environment import environment_features
from moe_mat.encoders.descriptors.local_environment import LocalEnvironmentEncoder, site_symmetry_features
from moe_mat.encoders.descriptors.packing import packing_features
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import Shells, neighbour_shells
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


def shells_of(structure: Structure) -> Shells:
    return neighbour_shells(primitive_cell(structure))


def of_nearest(structure: Structure) -> SpringNetwork:
    """Springs between nearest neighbours only: what textbooks solve."""
    springs = spring_network(shells_of(structure))
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
    springs = spring_network(shells_of(CRYSTALS[name]))
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


# The primitive cell


@settings(max_examples=40, deadline=None)
@given(ordered_structures(max_sites=4), st.integers(0, 2**32 - 1))
def test_the_primitive_cell_of_any_repeated_cell(structure: Structure, seed: int) -> None:
    rng = np.random.default_rng(seed)
    multiple = np.tril(rng.integers(0, 3, (3, 3)), -1) + np.diag(rng.integers(1, 4, 3))
    repeated = structure * multiple
    order = rng.permutation(len(repeated))
    found = primitive_cell(Structure.from_sites([repeated[i] for i in order]))
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    expected = spglib.find_primitive(cell, symprec=1e-3)
    assert len(found) == len(expected[2])
    assert found.volume / len(found) == pytest.approx(structure.volume / len(structure))
    np.testing.assert_allclose(
        np.sort(neighbour_shells(found).lengths)[:: len(found)],
        np.sort(neighbour_shells(structure).lengths)[:: len(structure)],
        atol=2e-3,
    )


def test_a_small_distortion_is_kept() -> None:
    moved = CRYSTALS["CsCl"] * [2, 1, 1]
    moved.translate_sites([0], [0.01, 0, 0], frac_coords=False)
    assert len(primitive_cell(moved)) == len(moved)


# Symmetry and empty space


@pytest.mark.parametrize(
    ("name", "group", "piezoelectric", "site_order"),
    [
        ("NaCl rocksalt", "m-3m", 0, 48),
        ("ZnS zincblende", "-43m", 1, 24),
        ("Si diamond", "m-3m", 0, 24),
        ("TiO2 rutile", "4/mmm", 0, (8 * 8 * 4**4) ** (1 / 6)),
        ("MoS2 layered", "6/mmm", 0, (12 * 12 * 6**4) ** (1 / 6)),
    ],
)
def test_point_groups(name: str, group: str, piezoelectric: float, site_order: float) -> None:
    for structure in (CRYSTALS[name], primitive_cell(CRYSTALS[name])):
        features = site_symmetry_features(structure)
        flags = list(features)[:32]
        assert [flag for flag in flags if features[flag]] == [group]
        assert features["piezoelectric"] == piezoelectric
        assert features["chiral"] == 0
        assert np.exp(features["log site order, mean"]) == pytest.approx(site_order)


def test_quartz_is_chiral() -> None:
    quartz = Structure.from_spacegroup(
        152, Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 1 / 3], [0.4133, 0.2672, 0.1188 + 1 / 3]]
    )
    features = site_symmetry_features(quartz)
    assert features["32"] == features["chiral"] == features["piezoelectric"] == 1


def test_gaps_and_vacuum() -> None:
    graphene, molybdenite = packing_features(shells_of(CRYSTALS["graphene in vacuum"])), CRYSTALS["MoS2 layered"]
    assert np.exp(graphene["log gap"]) == pytest.approx(18)
    assert graphene["vacuum"] == pytest.approx(15 / 18)
    layers = packing_features(shells_of(molybdenite))
    assert np.exp(layers["log gap"]) == pytest.approx(12.294 * (0.5 - 2 * 0.129))
    assert np.exp(packing_features(shells_of(CRYSTALS["NaCl rocksalt"]))["log gap"]) == pytest.approx(2.82)
    assert layers["solid packing fraction"] > 0


def test_ionic_bonds_are_told_from_others() -> None:
    silicon, rocksalt = (environment_features(shells_of(CRYSTALS[name])) for name in ("Si diamond", "NaCl rocksalt"))
    ionic, other = (rocksalt[f"{kind} bonds, 0.86 radii"] for kind in ("ionic", "other"))
    assert ionic / (ionic + other) == pytest.approx(1 - np.exp(-((X_CL - X_NA) ** 2) / 4), rel=0.01)
    assert silicon["ionic bonds, 1.02 radii"] == 0
    assert silicon["other bonds, 1.02 radii"] > 3
    assert silicon["Grimme coordination, mean"] == pytest.approx(4, abs=0.4)
    assert silicon["anisotropy"] == pytest.approx(0, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(ordered_structures(), st.integers(0, 2**32 - 1))
def test_any_crystal_is_described_the_same_in_any_cell(structure: Structure, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    other = rotated(structure * [[1, 0, 0], [1, 1, 0], [0, 0, 2]], rotation * np.sign(np.linalg.det(rotation)))
    encoder = LocalEnvironmentEncoder()
    one, two = encoder.describe(structure), encoder.describe(other)
    for layer in ("environment", "spring", "packing"):
        np.testing.assert_allclose(two[layer], one[layer], atol=1e-4, err_msg=layer)
