"""Phonons: numbers of known spectra, and frequencies against phonopy with the potential's own calculator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals, rotated

from moe_mat.encoders import get_encoder
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import neighbour_shells
from moe_mat.encoders.physics.phonons import HALVES, PhononEncoder, spring_vibrations
from moe_mat.encoders.physics.vibrations import QUANTITIES, WAVENUMBER, Vibrations, vibration_numbers

CRYSTALS = reference_crystals()
needs_phonopy = pytest.mark.skipif(find_spec("phonopy") is None, reason="the optional package phonopy is not installed")
NAMES = [quantity.name for quantity in PhononEncoder.quantities["phonons"]]


@cache
def encoder() -> PhononEncoder:
    found = get_encoder("phonons")()
    assert isinstance(found, PhononEncoder)
    return found.eval()


def numbers_of(*structures: Structure) -> np.ndarray:
    """Before standardisation ``[n_crystals, width]``."""
    return encoder().compute([encoder().prepare(structure) for structure in structures])


def triclinic() -> Structure:
    """A crystal without symmetry, held together."""
    crystal = CRYSTALS["CsCl"].copy()
    crystal.replace(1, "Br")
    crystal.append("Li", [0.5, 0.05, 0.08])
    return Structure(Lattice.from_parameters(4.6, 4.9, 5.1, 83, 88, 96), crystal.species, crystal.frac_coords)


# The numbers


def chain() -> Vibrations:
    """Two masses on equal springs of 1 eV/Å² in a row, at the zone centre."""
    matrix = np.zeros((1, 6, 6))
    matrix[0, ::3, ::3] = np.array([[2 / 1, -2 / 2], [-2 / 2, 2 / 4]])
    return Vibrations.of_matrices(matrix, np.array([1.0, 4.0]))


def test_numbers_of_two_masses_on_springs() -> None:
    numbers = vibration_numbers(chain())
    assert list(numbers) == [quantity.name for quantity in QUANTITIES]
    optical = WAVENUMBER * 2.5**0.5
    assert np.exp(numbers["highest frequency"]) == pytest.approx(optical + 1)
    assert np.exp(numbers["highest frequency at Γ"]) == pytest.approx(optical + 1)
    assert np.exp(numbers["highest Einstein frequency"]) == pytest.approx(WAVENUMBER * (2 / 3) ** 0.5 + 1)
    assert np.exp(numbers["mass of the highest modes"]) == pytest.approx(4**0.2)  # the light one has four fifths of it
    assert numbers["soft modes"] == 0


def test_a_mode_that_lowers_the_energy_is_soft() -> None:
    modes = Vibrations.of_matrices(np.diag([-0.04, 0, 0, 0, 1.0, 1.0])[None], np.array([1.0, 1.0]))
    numbers = vibration_numbers(modes)
    assert numbers["soft modes"] == pytest.approx(1 / 3)
    assert numbers["softest mode"] == pytest.approx(-np.arcsinh(WAVENUMBER * 0.2 / 20))
    assert np.isfinite(list(numbers.values())).all()


def test_zero_point_amplitude() -> None:
    """``<u²> = hbar / (2 m omega)`` for a stiff mode: 1 u at 4000 /cm moves by 0.065 Å."""
    square = (4000 / WAVENUMBER) ** 2
    modes = Vibrations.of_matrices(np.diag([0, 0, 0, *[square] * 3])[None], np.array([1e9, 1.0]))
    numbers = vibration_numbers(modes)
    assert np.exp(numbers["largest amplitude"]) == pytest.approx(0.0649 + 0.001, rel=0.01)
    assert numbers["heat capacity"] == pytest.approx(0, abs=1e-4)


def test_large_cells_fall_back_on_springs() -> None:
    rng = np.random.default_rng(0)
    positions = np.array(list(np.ndindex(5, 5, 5))) / 5 + rng.uniform(-0.02, 0.02, (125, 3))
    crystal = Structure(Lattice.cubic(13), ["Si"] * 125, positions)
    assert np.isfinite(list(vibration_numbers(spring_vibrations(neighbour_shells(crystal))).values())).all()


# Against phonopy


@needs_phonopy
@pytest.mark.parametrize("name", ["Si diamond", "NaCl rocksalt", "Al fcc", "ZnS zincblende", "CsCl"])
def test_frequencies_are_those_of_the_slow_path(name: str) -> None:
    """phonopy, with forces from the calculator that sevenn has for ASE, on the same supercell."""
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from sevenn.calculator import SevenNetCalculator

    crystal = primitive_cell(CRYSTALS[name])
    cell = PhonopyAtoms(
        numbers=crystal.atomic_numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice.matrix
    )
    phonopy = Phonopy(cell, supercell_matrix=2 * np.eye(3), primitive_matrix=np.eye(3))
    phonopy.generate_displacements(distance=0.003)
    calculator, forces = SevenNetCalculator("7net-0", device="cpu"), []
    for displaced in phonopy.supercells_with_displacements:
        atoms = Atoms(numbers=displaced.numbers, positions=displaced.positions, cell=displaced.cell, pbc=True)
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    phonopy.forces = np.array(forces)
    phonopy.produce_force_constants(show_drift=False)
    terahertz = phonopy.run_qpoints(HALVES).frequencies
    found, _ = encoder().vibrations([encoder().prepare(crystal)])[0]
    frequencies = np.sqrt(np.maximum(found.squares, 0))
    expected = np.sort(terahertz * 33.35641, axis=None)
    np.testing.assert_allclose(np.sort(frequencies, axis=None), expected, rtol=0.01, atol=2)


# What every encoder promises


def turned(structure: Structure) -> Structure:
    matrix, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return rotated(structure, matrix * np.sign(np.linalg.det(matrix)))


def shuffled(structure: Structure) -> Structure:
    shifted = Structure(structure.lattice, structure.species, structure.frac_coords + np.array([0.37, -1.21, 0.553]))
    return Structure.from_sites([shifted[i] for i in np.random.default_rng(1).permutation(len(shifted))])


def repeated(structure: Structure) -> Structure:
    return structure * [[2, 0, 0], [1, 1, 0], [0, 0, 1]]


@needs_phonopy
@pytest.mark.parametrize("same_crystal", [turned, shuffled, repeated])
def test_the_same_crystal_written_differently(same_crystal: Callable[[Structure], Structure]) -> None:
    """Up to the third derivatives of the energy, which a displacement to one side only brings in."""
    crystals = [triclinic(), *(CRYSTALS[name] for name in ("Mg hcp", "Fe bcc primitive", "NaCl rocksalt", "CsCl"))]
    one, two = numbers_of(*crystals), numbers_of(*map(same_crystal, crystals))
    top = [NAMES.index(name) for name in ("highest frequency", "root mean square frequency", "mean amplitude")]
    np.testing.assert_allclose(two[:, top], one[:, top], atol=3e-3)
    np.testing.assert_allclose(two, one, atol=0.03)


@pytest.mark.slow
@needs_phonopy
def test_hostile_crystals_have_finite_numbers() -> None:
    rng = np.random.default_rng(0)
    positions = np.array(list(np.ndindex(5, 5, 5))) / 5 + rng.uniform(-0.02, 0.02, (125, 3))
    crystals = {
        "one atom": CRYSTALS["Fe bcc primitive"],
        "no neighbour": CRYSTALS["isolated Ar"],
        "noble gas": Structure(Lattice.cubic(5.26), ["Ar"], [[0, 0, 0]]),
        "no neighbours": Structure(Lattice.cubic(22), ["Fe", "O"], [[0, 0, 0], [0.5] * 3]),
        "crushed": Structure(Lattice.cubic(2.2), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
        "low symmetry": Structure(Lattice.from_parameters(9, 8, 7, 80, 95, 100), ["Si", "O"] * 8, positions[::8]),
        "large cell": Structure(Lattice.cubic(13), ["Si", "O", "O", "Si", "N"] * 25, positions),
    }
    samples = [encoder().prepare(crystal) for crystal in crystals.values()]
    with torch.inference_mode():
        layers = encoder()(encoder().collate(samples)).crystals
    assert torch.isfinite(layers["phonons"]).all()
    numbers = encoder().compute(samples)
    flags = dict(zip(crystals, numbers[:, -2:].tolist(), strict=True))
    assert flags["one atom"] == [0, 0]
    assert flags["low symmetry"] == [1, 0]
    assert flags["large cell"] == [1, 1]


@needs_phonopy
def test_a_batch_is_as_good_as_one_by_one() -> None:
    crystals = [CRYSTALS[name] for name in ("Si diamond", "NaCl rocksalt", "isolated Ar")]
    np.testing.assert_allclose(numbers_of(*crystals), np.concatenate([numbers_of(c) for c in crystals]), atol=2e-3)


@needs_phonopy
def test_forces_at_rest_are_a_number_of_their_own() -> None:
    molybdenite = dict(zip(NAMES, numbers_of(CRYSTALS["MoS2 layered"])[0], strict=True))
    assert 0.1 < np.exp(molybdenite["largest force"]) < 1  # its sulfur is not where the potential wants it
    rocksalt = dict(zip(NAMES, numbers_of(CRYSTALS["NaCl rocksalt"])[0], strict=True))
    assert np.exp(rocksalt["largest force"]) == pytest.approx(0.01, abs=1e-4)  # symmetry keeps every atom in place


def test_every_number_has_a_name_a_unit_and_a_formula() -> None:
    quantities = PhononEncoder.quantities["phonons"]
    assert len({quantity.name for quantity in quantities}) == len(quantities)
    assert all(quantity.unit and quantity.formula for quantity in quantities)


def test_phonopy_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "phonopy", None)
    with pytest.raises(ImportError, match=r"moe_mat\[physics\]"):
        get_encoder("phonons")()
