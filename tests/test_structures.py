"""Crystals as objects: what passes, what does not, and what counts as the same crystal."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from pymatgen.core import DummySpecies, Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from strategies import lattices, ordered_structures, reference_crystals

from moe_mat.crystals.checks import structure_problem
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.crystals.structure_arrays import structure_from_arrays
from moe_mat.crystals.structures import as_structure, crystals_from_objects, structure_key

ROCKSALT = reference_crystals()["NaCl rocksalt"]


def to_atoms(structure):
    return Atoms(
        [site.specie.symbol for site in structure],
        positions=structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=True,
    )


@pytest.mark.parametrize("name", reference_crystals())
def test_real_crystals_have_no_problem(name):
    assert structure_problem(reference_crystals()[name]) is None


@settings(max_examples=50, deadline=None)
@given(ordered_structures())
def test_every_kind_of_object_is_the_same_crystal(structure):
    objects = [
        structure.copy(),
        to_atoms(structure),
        AseAtomsAdaptor.get_structure(to_atoms(structure)),
        structure.as_dict(),
        structure_from_arrays(structure.lattice.matrix, structure.labels, structure.cart_coords),
    ]
    assert structure_problem(structure) is None
    for crystal in map(as_structure, objects):
        assert crystal.species == structure.species
        np.testing.assert_allclose(crystal.lattice.matrix, structure.lattice.matrix, atol=1e-12)
        np.testing.assert_allclose(crystal.cart_coords, structure.cart_coords, atol=1e-12)
        assert structure_key(crystal) == structure_key(structure)


def test_key_ignores_what_is_not_content():
    plain = ROCKSALT.copy()
    decorated = ROCKSALT.copy(site_properties={"magmom": [1.0] * 8})
    decorated.properties = {"material_id": "mp-22862"}
    decorated.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert structure_key(decorated) == structure_key(plain)
    nudged = plain.copy()
    nudged.translate_sites([3], [1e-12, 0, 0])
    assert structure_key(nudged) == structure_key(plain)


def test_key_sees_every_part_of_the_content():
    variants = [ROCKSALT, ROCKSALT.copy(), ROCKSALT.copy(), ROCKSALT.copy(), ROCKSALT * (2, 1, 1)]
    variants[1].replace(0, "K")
    variants[2].translate_sites([3], [1e-6, 0, 0])
    variants[3].apply_strain(1e-6)
    keys = [structure_key(structure) for structure in variants]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 for key in keys)


def test_key_does_not_hang_on_the_last_bit():
    # 5.430941 / 8 is 0.678867625: rounded to 1e-8 it would go up or down with the way it was computed.
    structure = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.430941), ["Si"], [[1 / 8, 1 / 8, 1 / 8]])
    noisy = Structure(structure.lattice, structure.species, structure.frac_coords * (1 - 1e-15))
    assert structure_key(noisy) == structure_key(structure)


def test_key_is_the_same_in_another_process():
    code = (
        "from pymatgen.core import Structure, Lattice; from moe_mat.crystals.structures import structure_key;"
        "print(structure_key(Structure(Lattice.cubic(3.0), ['Po'], [[0, 0, 0]])).hex())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == structure_key(Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])).hex()


def with_dummy():
    structure = ROCKSALT.copy()
    structure.replace(2, DummySpecies("X"))
    return structure


PROBLEMS = {
    "empty": (Structure(Lattice.cubic(4), [], []), "has no sites"),
    "disordered": (
        Structure(Lattice.cubic(4), ["O", {"Fe": 0.5, "Mn": 0.5}], [[0] * 3, [0.5] * 3]),
        r"site 1 \(.*Fe:0.5.*\) is disordered.*OrderDisordered",
    ),
    "vacant": (Structure(Lattice.cubic(4), [{"Fe": 0.9}], [[0] * 3]), r"site 0 .* is disordered"),
    "dummy": (with_dummy(), r"site 2 \(X0\+\) is a dummy species"),
    "zero volume": (Structure(np.zeros((3, 3)), ["Fe"], [[0] * 3]), "no volume"),
    "coplanar": (Structure([[3, 0, 0], [0, 3, 0], [3, 3, 0]], ["Fe"], [[0] * 3]), "no volume"),
    "thin": (Structure([[3, 0, 0], [0, 3, 0], [0, 0, 1e-3]], ["Fe"], [[0] * 3]), "no volume.*0.001 Å"),
    "NaN lattice": (Structure(np.diag([3, np.nan, 3]), ["Fe"], [[0] * 3]), "lattice vectors are not finite"),
    "NaN position": (Structure(Lattice.cubic(4), ["Fe", "O"], [[0] * 3, [0.5, np.nan, 0]]), r"site 1 \(O\).*finite"),
    "infinite position": (Structure(Lattice.cubic(4), ["Fe"], [[np.inf, 0, 0]]), r"site 0 \(Fe\).*not finite"),
    "one site twice": (
        Structure(Lattice.cubic(4), ["Fe", "O", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 1.501]]),
        r"site 1 \(O\) and site 2 \(O\) lie within 0.1 Å",
    ),
    "across the face": (
        Structure(Lattice.cubic(4), ["Fe", "O"], [[-1e-17, 0.5, 0], [0.999, 0.5, 0]]),
        r"site 0 \(Fe\) and site 1 \(O\)",
    ),
    "nanometres": (Structure(Lattice.cubic(0.564), ROCKSALT.species, ROCKSALT.frac_coords), "less than any.*in nm"),
    "picometres": (Structure(Lattice.cubic(564), ROCKSALT.species, ROCKSALT.frac_coords), "more than any.*in pm"),
    "fractional positions": (
        Structure(Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5, 0, 0]], coords_are_cartesian=True),
        r"site 0 \(Na\) and site 1 \(Cl\) are 0.50 Å apart, closer than .*fractional where Cartesian",
    ),
    "own image": (Structure(Lattice.orthorhombic(0.5, 8, 8), ["Na"], [[0] * 3]), "its image in the next cell are 0.50"),
    "twenty thousand in one place": (
        Structure(Lattice.cubic(90), ["Fe"] * 20_000, np.full((20_000, 3), 0.3)),
        "remove one",
    ),
    "slab": (Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Fe"], [[0] * 3]), "not periodic along c"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_are_named(name):
    structure, message = PROBLEMS[name]
    with pytest.raises(CrystalError, match=f"crystal 'x': .*{message}"):
        crystals_from_objects([structure], ids=["x"])


@settings(max_examples=30, deadline=None)
@given(lattices())
def test_a_skewed_cell_is_no_flat_cell(lattice):
    # the same lattice in a cell whose faces lie closer together than atoms may
    matrix = np.array([[1, 0, 0], [40, 1, 0], [0, 40, 1]]) @ lattice.matrix
    fractional = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    assert structure_problem(Structure(matrix, ["Na", "Cl"], fractional)) is None
    close = fractional @ matrix
    close[1] = close[0] + [0.05, 0, 0]
    assert "lie within" in structure_problem(Structure(matrix, ["Na", "Cl"], close, coords_are_cartesian=True))


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), "no three-dimensional cell"),
        (Atoms("H", cell=[4, 4, 0], pbc=True), "no three-dimensional cell"),
        (Atoms("H", cell=[4, 4, 4]), "not periodic along a, b, c"),
        (Atoms("H", cell=[4, 4, 4], pbc=(True, True, False)), "not periodic along c"),
    ],
)
def test_atoms_without_a_periodic_cell(atoms, message):
    with pytest.raises(CrystalError, match=message):
        crystals_from_objects([atoms])


def test_other_types_are_named():
    with pytest.raises(TypeError, match="Molecule is not a crystal: it has no periodic cell"):
        as_structure(Molecule(["H"], [[0, 0, 0]]))
    with pytest.raises(TypeError, match=r"builtins\.float is not a crystal"):
        as_structure(float("nan"))
    with pytest.raises(ValueError, match="not the dict of a pymatgen Structure"):
        as_structure({"lattice": {}})
    with pytest.raises(TypeError, match="a list of crystals is needed"):
        crystals_from_objects(ROCKSALT)


def test_a_dict_cannot_name_a_module_to_import(monkeypatch):
    crystal = ROCKSALT.as_dict()
    crystal["properties"] = crystal["sites"][0]["properties"] = {"trap": {"@module": "antigravity", "@class": "x"}}
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    assert as_structure(crystal) == ROCKSALT
    assert "antigravity" not in sys.modules


def test_skip_keeps_the_good_and_lists_the_bad(caplog):
    left_out = [LeftOut("earlier", None, None, "kept")]
    crystals = [ROCKSALT, PROBLEMS["dummy"][0], to_atoms(ROCKSALT), 3.0]
    kept = crystals_from_objects(crystals, ids=["a", "b", "a", "d"], on_error="skip", left_out=left_out)
    assert [crystal.material_id for crystal in kept] == ["a"]
    assert [(problem.material_id, problem.source) for problem in left_out[1:]] == [
        ("b", "crystal number 1"),
        ("a", "crystal number 2"),
        ("d", "crystal number 3"),
    ]
    assert "second time" in left_out[2].reason
    assert "3 of 4 crystals left out" in caplog.text


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="1 crystals but 2 ids"):
        crystals_from_objects([ROCKSALT], ids=["a", "b"])
    with pytest.raises(ValueError, match='use "raise" or "skip"'):
        crystals_from_objects([ROCKSALT], on_error="ignore")


def test_errors_survive_the_way_back_from_a_worker():
    error = CrystalError(LeftOut("file.cif", "mp-1", "band_gap", "no value"))
    assert str(error) == "file.cif, crystal 'mp-1', column 'band_gap': no value"
    assert pickle.loads(pickle.dumps(error)).left_out == error.left_out
