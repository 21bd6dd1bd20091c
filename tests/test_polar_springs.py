"""The polar response of charged springs, against textbook crystals and what symmetry allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, reference_crystals

from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import neighbour_shells
from moe_mat.encoders.descriptors.springs import REGULARISATION, SpringNetwork, spring_network
from moe_mat.encoders.physics.polar_springs import (
    PolarSpringsEncoder,
    bond_charges,
    ionic_responses,
    piezoelectric_projector,
    polar_numbers,
    third_rank,
)
from moe_mat.encoders.physics.polarisabilities import polarisabilities

CRYSTALS = reference_crystals()
QUARTZ = Structure.from_spacegroup(
    152, Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 1 / 3], [0.4133, 0.2672, 0.1188 + 1 / 3]]
)
WURTZITE = Structure.from_spacegroup(
    186, Lattice.hexagonal(3.822, 6.26), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3748]]
)
DISILICIDE = Structure.from_spacegroup(212, Lattice.cubic(6.535), ["Sr", "Si"], [[1 / 8] * 3, [0.4228] * 3])


def numbers_of(structure: Structure) -> dict[str, float]:
    primitive = primitive_cell(structure)
    return polar_numbers(neighbour_shells(primitive), piezoelectric_projector(primitive))


def piezoelectric(structure: Structure) -> np.ndarray:
    """The tensor before symmetry has its say."""
    shells = neighbour_shells(primitive_cell(structure))
    responses = ionic_responses(spring_network(shells), bond_charges(shells), one_by_one=False)
    return third_rank(responses["Pauling"][1])


def test_polarisabilities_of_the_table() -> None:
    table = polarisabilities()
    assert table[1] == pytest.approx(0.6678, abs=1e-3)  # hydrogen: 9/2 atomic units
    assert table[55] == pytest.approx(59.4, abs=0.1)  # caesium
    assert np.isfinite(table[1:]).all()
    assert len(table) == 104


# The response of the ions


def test_two_ions_on_springs_between_nearest_neighbours() -> None:
    """A field moves the two lattices of rocksalt apart by q / (4 k + h) each, h what holds every atom."""
    shells = neighbour_shells(primitive_cell(CRYSTALS["NaCl rocksalt"]))
    springs = spring_network(shells)
    near = springs.lengths < 1.01 * springs.lengths.min()
    arrays = {name: getattr(springs, name)[near] for name in ("i", "j", "images", "lengths", "directions", "constants")}
    springs = SpringNetwork(masses=springs.masses, volume=springs.volume, **arrays)
    k, charge = springs.constants[0], 0.8
    field, strain = ionic_responses(springs, {"given": np.array([charge, -charge])}, one_by_one=False)["given"]
    hold = REGULARISATION * 12 * k / 6
    np.testing.assert_allclose(field, np.eye(3) * 2 * charge**2 / (4 * k + hold) / springs.volume, atol=1e-12)
    np.testing.assert_allclose(strain, 0, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(ordered_structures())
def test_bonds_take_what_they_give(structure: Structure) -> None:
    for charges in bond_charges(neighbour_shells(structure)).values():
        assert charges.sum() == pytest.approx(0, abs=1e-9 * max(1, np.abs(charges).max()))


def test_formal_charges_of_ionic_crystals() -> None:
    """The valence rule never gives away more than the anion has room for."""
    for name, most in {"NaCl rocksalt": 1, "CaF2 fluorite": 2, "TiO2 rutile": 4}.items():
        shells = neighbour_shells(primitive_cell(CRYSTALS[name]))
        assert 0.5 * most < bond_charges(shells)["valence"].max() < most


# What symmetry allows


def test_zincblende_has_one_piezoelectric_constant() -> None:
    tensor = piezoelectric(CRYSTALS["ZnS zincblende"])
    allowed = np.abs(piezoelectric_projector(primitive_cell(CRYSTALS["ZnS zincblende"])) @ tensor.ravel())
    np.testing.assert_allclose(allowed, np.abs(tensor.ravel()), atol=1e-9)
    cubic = [value for (i, j, k), value in np.ndenumerate(np.abs(tensor)) if len({i, j, k}) == 3]
    rest = [value for (i, j, k), value in np.ndenumerate(np.abs(tensor)) if len({i, j, k}) < 3]
    np.testing.assert_allclose(cubic, np.abs(tensor).max(), rtol=1e-6)
    np.testing.assert_allclose(rest, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("structure", "n_constants"),
    [(CRYSTALS["ZnS zincblende"], 1), (QUARTZ, 2), (WURTZITE, 3)],
    ids=lambda s: str(s)[:4],
)
def test_point_groups_have_their_numbers_of_constants(structure: Structure, n_constants: int) -> None:
    projector = piezoelectric_projector(primitive_cell(structure))
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-9)
    symmetric = (np.eye(27) + np.eye(27).reshape(3, 3, 3, 27).transpose(0, 2, 1, 3).reshape(27, 27)) / 2
    assert np.trace(projector @ symmetric) == pytest.approx(n_constants)
    tensor = piezoelectric(structure)
    np.testing.assert_allclose(projector @ tensor.ravel(), tensor.ravel(), atol=1e-6 * np.abs(tensor).max())


@pytest.mark.parametrize("name", ["NaCl rocksalt", "CaF2 fluorite", "TiO2 rutile", "CaTiO3 perovskite", "MoS2 layered"])
def test_no_piezoelectricity_with_a_centre_of_inversion(name: str) -> None:
    np.testing.assert_allclose(piezoelectric(CRYSTALS[name]), 0, atol=1e-9)
    numbers = numbers_of(CRYSTALS[name])
    assert {value for key, value in numbers.items() if "piezoelectric" in key} == {-5.0}
    assert numbers["ionic response, Pauling"] > -3


def test_no_piezoelectricity_in_432() -> None:
    """It has no centre of inversion, and yet every third-rank tensor of this kind vanishes."""
    assert not piezoelectric_projector(primitive_cell(DISILICIDE)).any()
    np.testing.assert_allclose(piezoelectric(DISILICIDE), 0, atol=1e-6)
    assert numbers_of(DISILICIDE)["piezoelectric response, Pauling"] == -5


def test_a_small_polar_distortion_counts() -> None:
    titanate = Structure(
        Lattice.tetragonal(3.99, 4.03),
        ["Ba", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.515], [0.5, 0.5, -0.02], [0.5, 0, 0.485], [0, 0.5, 0.485]],
    )
    assert numbers_of(titanate)["piezoelectric response, Pauling"] > -3


# The electrons


@pytest.mark.parametrize(("symbol", "length", "susceptibility"), [("Si", 5.431, 10.7), ("C", 3.567, 4.7)])
def test_bond_susceptibility_of_semiconductors(symbol: str, length: float, susceptibility: float) -> None:
    """Within the accuracy of the theory: the square of the plasma energy over that of the gap."""
    crystal = Structure.from_spacegroup(227, Lattice.cubic(length), [symbol], [[0, 0, 0]])
    numbers = numbers_of(crystal)
    assert 10 ** numbers["bond susceptibility"] == pytest.approx(susceptibility, rel=0.25)
    assert numbers["bond ionicity"] == 0
    assert numbers_of(CRYSTALS["NaCl rocksalt"])["bond ionicity"] > 0.6


# What else there is


def test_hostile_crystals_have_finite_numbers() -> None:
    encoder = PolarSpringsEncoder()
    rng = np.random.default_rng(0)
    positions = np.array(list(np.ndindex(5, 5, 5))) / 5 + rng.uniform(-0.02, 0.02, (125, 3))
    crystals = {
        "one atom": CRYSTALS["Fe bcc primitive"],
        "noble gas": Structure(Lattice.cubic(5.26), ["Ar"], [[0, 0, 0]]),
        "noble compound": Structure(
            Lattice.tetragonal(4.31, 6.99), ["Xe", "F", "F"], [[0] * 3, [0, 0, 0.28], [0, 0, 0.72]]
        ),
        "no neighbours": Structure(Lattice.cubic(22), ["Fe", "O"], [[0, 0, 0], [0.5] * 3]),
        "one without": Structure(Lattice.cubic(30), ["Na", "Cl", "O"], [[0, 0, 0], [0.09, 0, 0], [0.5] * 3]),
        "large cell": Structure(Lattice.cubic(13), ["Si", "O", "O", "Si", "N"] * 25, positions),
    }
    samples = [encoder.prepare(crystal) for crystal in crystals.values()]
    layers = encoder(encoder.collate(samples)).crystals
    assert all(np.isfinite(values).all() for values in layers.values())
    names = [quantity.name for layer in encoder.quantities.values() for quantity in layer]
    by_name = [dict(zip(names, sample, strict=True)) for sample in samples]
    assert [numbers["atoms one by one"] for numbers in by_name] == [0, 0, 0, 0, 0, 1]
    large = by_name[-1]
    assert large["ionic response, Pauling"] > -6
    assert large["piezoelectric response, Pauling"] > -5


def test_atoms_one_by_one_are_no_worse_than_a_factor() -> None:
    """The fallback of large cells, on a small one: stiffer, because the neighbours rest."""
    shells = neighbour_shells(primitive_cell(QUARTZ))
    springs, charges = spring_network(shells), bond_charges(shells)
    whole, single = (ionic_responses(springs, charges, one_by_one=one)["Pauling"][0] for one in (False, True))
    assert 0.05 < np.trace(single) / np.trace(whole) < 1


def test_every_number_has_a_name_a_unit_and_a_formula() -> None:
    quantities = [quantity for layer in PolarSpringsEncoder.quantities.values() for quantity in layer]
    assert len({quantity.name for quantity in quantities}) == len(quantities)
    assert all(quantity.unit and quantity.formula for quantity in quantities)
    assert [quantity.name for quantity in quantities] == list(numbers_of(QUARTZ))
