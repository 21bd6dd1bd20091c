"""The symmetry of cubic crystals is the one that spglib finds, found by another library."""

from __future__ import annotations

import os

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from strategies import rotated

from moe_mat.crystals import iter_crystals
from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors import symmetry
from moe_mat.encoders.descriptors.cubic import find_cubic_symmetry
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.symmetry import TOLERANCE, find_symmetry, site_symmetry_features, space_group_features
from moe_mat.files import data_folder

# One of each point group and lattice, and those with the most operations.
SPACE_GROUPS = [195, 196, 197, 198, 200, 202, 205, 206, 207, 209, 212, 214, 215, 216, 217, 220, 221, 223, 225, 227, 229]
KNOWN = ["NaCl", "CsCl", "fluorite", "perovskite", "elpasolite"]


def crystal(group: int) -> Structure:
    positions = [[0, 0, 0], [0.13, 0.13, 0.13], [0.31, 0.17, 0.08]]
    return primitive_cell(Structure.from_spacegroup(group, Lattice.cubic(14.0), ["Cs", "O", "Si"], positions))


def known(name: str) -> Structure:
    positions = {
        "NaCl": (225, 5.6, {"Na": [0, 0, 0], "Cl": [0.5, 0.5, 0.5]}),
        "CsCl": (221, 4.1, {"Cs": [0, 0, 0], "Cl": [0.5, 0.5, 0.5]}),
        "fluorite": (225, 5.5, {"Ca": [0, 0, 0], "F": [0.25, 0.25, 0.25]}),
        "perovskite": (221, 3.9, {"Sr": [0, 0, 0], "Ti": [0.5, 0.5, 0.5], "O": [0.5, 0.5, 0]}),
        "elpasolite": (225, 9.1, {"Na": [0, 0, 0], "In": [0.5] * 3, "Cs": [0.25] * 3, "F": [0.24, 0, 0]}),
    }
    group, edge, sites = positions[name]
    return primitive_cell(Structure.from_spacegroup(group, Lattice.cubic(edge), list(sites), list(sites.values())))


def features(structure: Structure) -> dict[str, float]:
    found = find_symmetry(structure)
    return space_group_features(found) | site_symmetry_features(found)


def assert_as_spglib_says(structure: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = features(structure.copy())
    monkeypatch.setattr(symmetry, "find_cubic_symmetry", lambda *_: None)
    assert features(structure.copy()) == asked
    monkeypatch.undo()


@pytest.mark.parametrize("group", SPACE_GROUPS)
def test_every_cubic_point_group_and_lattice(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    structure = crystal(group)
    found = find_cubic_symmetry(sites_of(structure), TOLERANCE)
    assert found is not None
    assert found.space_group == group
    assert_as_spglib_says(structure, monkeypatch)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("shaken", [0.0, 0.003, 0.03, 0.2])
def test_what_is_shaken_is_as_cubic_as_spglib_says(name: str, shaken: float, monkeypatch: pytest.MonkeyPatch) -> None:
    structure = known(name)
    if shaken:
        np.random.seed(0)  # noqa: NPY002  pymatgen draws from it
        structure.perturb(shaken)
    assert_as_spglib_says(structure, monkeypatch)


def test_the_cell_does_not_matter() -> None:
    structure = known("elpasolite")
    sheared = structure.copy()
    sheared.make_supercell([[1, 0, 0], [2, 1, 0], [0, -1, 1]])
    for cell in (sheared, rotated(structure, Rotation.random(random_state=0).as_matrix())):
        found = find_cubic_symmetry(sites_of(cell), TOLERANCE)
        assert found is not None
        assert (found.space_group, found.point_group) == (225, "m-3m")


@pytest.mark.parametrize("stretch", [1.001, 1.03, 1.2])
def test_what_may_be_tetragonal_is_given_up(stretch: float, monkeypatch: pytest.MonkeyPatch) -> None:
    structure = known("perovskite")
    structure.apply_strain([0, 0, stretch - 1])
    if stretch > 1.01:
        assert find_cubic_symmetry(sites_of(structure), TOLERANCE) is None
    assert_as_spglib_says(structure, monkeypatch)


def test_a_cubic_crystal_of_which_nobody_can_be_sure_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ions off their sites by half of the tolerance: cubic by the letter, and tetragonal at a tenth of it."""
    structure = known("perovskite")
    structure.translate_sites([1], [0, 0, 0.05], frac_coords=False)
    assert find_cubic_symmetry(sites_of(structure), TOLERANCE) is None
    assert_as_spglib_says(structure, monkeypatch)


def test_cells_that_are_not_primitive_and_atoms_on_each_other_are_given_up(caplog: pytest.LogCaptureFixture) -> None:
    twice = known("CsCl") * [2, 2, 2]
    on_each_other = Structure(Lattice.cubic(3), ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-6]])
    assert find_cubic_symmetry(sites_of(twice), TOLERANCE) is None
    assert find_cubic_symmetry(sites_of(on_each_other), TOLERANCE) is None
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")
def test_every_cubic_crystal_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 0
    for path in sorted((data_folder() / "benchmark").glob("*.parquet")):
        for given in iter_crystals(path, on_error="skip"):
            structure = primitive_cell(given.structure)
            if find_cubic_symmetry(sites_of(structure), TOLERANCE):
                n += 1
                assert_as_spglib_says(structure, monkeypatch)
    assert n == 6078
