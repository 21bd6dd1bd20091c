"""Descriptors of composition, bonding, symmetry and empty space against textbook values; their standardisation."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
import torch
from encoder_cases import CRYSTALS, pooled
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, rotated

from moe_mat.crystals.once import once_a_crystal, one_crystal
from moe_mat.encoders import get_encoder
from moe_mat.encoders.descriptors.bonding import bonding_features
from moe_mat.encoders.descriptors.composition import magpie_statistics
from moe_mat.encoders.descriptors.elements import fractions, ionic_features, text_statistics
from moe_mat.encoders.descriptors.encoders import LocalEnvironmentEncoder
from moe_mat.encoders.descriptors.environment import environment_features
from moe_mat.encoders.descriptors.geometry import geometry_features
from moe_mat.encoders.descriptors.packing import packing_features
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import Shells, hoppe_neighbours, neighbour_shells
from moe_mat.encoders.descriptors.symmetry import find_symmetry, site_symmetry_features, space_group_features


def shells_of(structure: Structure) -> Shells:
    return neighbour_shells(primitive_cell(structure))


def test_magpie_statistics_are_those_of_matminer() -> None:
    from matminer.featurizers.composition import ElementProperty
    from matminer.utils.data import MagpieData

    reference = ElementProperty.from_preset("magpie")
    reference.data_source = MagpieData(impute_nan=False)
    for structure in CRYSTALS.values():
        found = magpie_statistics(np.array(structure.atomic_numbers))
        expected = np.array(reference.featurize(structure.composition))
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=structure.formula)


def test_what_elements_say_of_a_composition() -> None:
    from matminer.utils.data import MatscholarElementData

    numbers, counts = np.array([8, 26]), np.array([3, 2])
    shares = fractions(numbers, counts)
    assert (shares[7], shares[25], shares.sum()) == (0.6, 0.4, 1)
    table, text = MatscholarElementData(), text_statistics(numbers, counts)
    oxygen, iron = ([table.get_elemental_property(one, name) for name in table.prop_names] for one in ("O", "Fe"))
    np.testing.assert_allclose(text[:200], 0.6 * np.array(oxygen) + 0.4 * np.array(iron))
    np.testing.assert_allclose(text[200:], np.abs(np.subtract(oxygen, iron)) * np.sqrt(0.24))
    of_salt = ionic_features(np.array([11, 17]), np.array([1, 1]))
    # Electronegativities 0.93 and 3.16; eight valence electrons for each Cl, an even number of all, no charge left.
    np.testing.assert_allclose(of_salt[5], 1 - np.exp(-((3.16 - 0.93) ** 2) / 4))
    assert of_salt[8:].tolist() == [8, 0, 0, 0]
    assert ionic_features(np.array([11, 17]), np.array([2, 1]))[-1] == pytest.approx(1 / 3)
    assert ionic_features(np.arange(19, 51), np.arange(1, 33) ** 3).shape == (12,)  # as many as nobody mixes
    assert np.isfinite(ionic_features(np.arange(3, 9), np.arange(1, 7))).all()


def test_structure_features_of_known_crystals() -> None:
    def features(name: str) -> dict[str, float]:
        structure = CRYSTALS[name]
        return {
            **geometry_features(structure, np.array(structure.atomic_numbers)),
            **space_group_features(find_symmetry(structure)),
            **bonding_features(hoppe_neighbours(structure)),
        }

    diamond, rocksalt = features("Si diamond"), features("NaCl rocksalt")
    assert diamond["space group"] == 227
    assert diamond["cubic"] == diamond["centrosymmetric"] == 1
    assert diamond["polar"] == 0
    assert np.exp(diamond["log order"]) == pytest.approx(48)
    assert np.exp(diamond["log atoms"]) == pytest.approx(2)
    assert np.exp(diamond["log orbits"]) == pytest.approx(1)
    assert np.exp(diamond["log volume per atom"]) == pytest.approx(5.431**3 / 8)
    assert diamond["coordination, mean"] == pytest.approx(4, abs=0.01)
    assert diamond["length, mean"] == pytest.approx(5.431 * 3**0.5 / 4, abs=0.01)
    assert diamond["Q3, mean"] == pytest.approx((5 / 9) ** 0.5, abs=0.01)  # four corners of a tetrahedron
    assert diamond["same element, mean"] == pytest.approx(1)
    assert rocksalt["coordination, mean"] == pytest.approx(6, abs=0.05)
    assert rocksalt["Q4, mean"] == pytest.approx((7 / 12) ** 0.5, abs=0.01)  # six corners of an octahedron
    assert rocksalt["Q6, mean"] == pytest.approx(0.125**0.5, abs=0.01)
    assert rocksalt["electronegativity difference, mean"] == pytest.approx(3.16 - 0.93, abs=0.01)
    assert np.isnan(features("isolated Ar")["length, mean"])
    assert features("isolated Ar")["coordination, mean"] == 0


def test_descriptors_are_standardised_by_what_they_were_fitted_on() -> None:
    encoder = get_encoder("descriptors")()
    structures = list(CRYSTALS.values())
    encoder.fit(structures)
    layers = pooled(encoder, structures)
    values = torch.cat(list(layers.values()), dim=1)
    described = np.stack([encoder.prepare(structure) for structure in structures])
    complete = ~np.isnan(described).any(axis=0)
    varies = complete & (described.std(axis=0) > 1e-6)
    np.testing.assert_allclose(values[:, complete].mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(values[:, varies].std(dim=0, correction=0), 1, atol=1e-4)
    assert (values[torch.from_numpy(np.isnan(described))] == 0).all()
    assert set(encoder.state_dict()) == {"mean", "std"}


def test_descriptor_layers_are_checked() -> None:
    with pytest.raises(ValueError, match="composition and structure, not volume"):
        get_encoder("descriptors")(layers=["volume"])


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
        features = site_symmetry_features(find_symmetry(structure))
        flags = list(features)[:32]
        assert [flag for flag in flags if features[flag]] == [group]
        assert features["piezoelectric"] == piezoelectric
        assert features["chiral"] == 0
        assert np.exp(features["log site order, mean"]) == pytest.approx(site_order)


def test_quartz_is_chiral() -> None:
    quartz = Structure.from_spacegroup(
        152, Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 1 / 3], [0.4133, 0.2672, 0.1188 + 1 / 3]]
    )
    features = site_symmetry_features(find_symmetry(quartz))
    assert features["32"] == features["chiral"] == features["piezoelectric"] == 1


def test_gaps_and_vacuum() -> None:
    graphene, molybdenite = packing_features(shells_of(CRYSTALS["graphene in vacuum"])), CRYSTALS["MoS2 layered"]
    assert np.exp(graphene["log gap"]) == pytest.approx(18)
    assert graphene["vacuum"] == pytest.approx(15 / 18)
    layers = packing_features(shells_of(molybdenite))
    assert np.exp(layers["log gap"]) == pytest.approx(12.294 * (0.5 - 2 * 0.129))
    assert np.exp(packing_features(shells_of(CRYSTALS["NaCl rocksalt"]))["log gap"]) == pytest.approx(2.82)
    assert layers["solid packing fraction"] > 0


def test_ionic_bonds_count_apart_from_others() -> None:
    silicon, rocksalt = (environment_features(shells_of(CRYSTALS[name])) for name in ("Si diamond", "NaCl rocksalt"))
    ionic, other = (rocksalt[f"{kind} bonds, 0.86 radii"] for kind in ("ionic", "other"))
    assert ionic / (ionic + other) == pytest.approx(1 - np.exp(-((3.16 - 0.93) ** 2) / 4), rel=0.01)
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
    layers = list(encoder.crystal_layers)
    one, two = encoder.describe(structure, layers), encoder.describe(other, layers)
    for layer in ("environment", "spring", "packing"):
        np.testing.assert_allclose(two[layer], one[layer], atol=1e-4, err_msg=layer)


# What several descriptors need


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_symmetry_of_a_crystal_is_searched_once(repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    search = spglib.get_symmetry_dataset

    def counting(cell: tuple[np.ndarray, np.ndarray, list[int]], **options: float) -> spglib.SpglibDataset | None:
        searched.append(len(cell[2]))
        return search(cell, **options)

    monkeypatch.setattr(spglib, "get_symmetry_dataset", counting)
    encoders = [get_encoder(name)() for name in ("descriptors", "local_environment")]
    searched.clear()
    # Of cubic crystals another library is asked.
    lattices = [Lattice.tetragonal(2 + 2 * repeats + 0.01 * i, 5.5) for i in range(8)]
    salts = [Structure(lattice, ["Cs", "Br"], [[0] * 3, [0.5] * 3]) for lattice in lattices]
    for salt in salts:
        with one_crystal():
            structure = salt * [repeats, 1, 1]
            for encoder in encoders:
                encoder.prepare(structure)
    assert searched == [2] * len(salts)


def test_results_are_remembered_for_one_crystal() -> None:
    counted = []

    @once_a_crystal
    def volume(structure: Structure) -> float:
        counted.append(structure)
        return structure.volume

    salt = CRYSTALS["CsCl"].copy()
    with one_crystal():
        assert volume(salt) == volume(salt) == pytest.approx(4.123**3)
        with one_crystal():
            volume(salt)
        volume(salt)
        assert len(counted) == 1
        assert volume(salt.copy().scale_lattice(100.0)) == pytest.approx(100)
    salt.scale_lattice(100.0)
    assert volume(salt) == volume(salt) == pytest.approx(100)
    assert len(counted) == 4
