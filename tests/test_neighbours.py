"""The search for neighbours: pymatgen's, in bounded time and memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, reference_crystals

from moe_mat.crystals import neighbours
from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.neighbours import neighbour_list
from moe_mat.graphs.radius import radius_graph


@given(ordered_structures())
def test_neighbours_are_those_of_pymatgen(structure: Structure) -> None:
    for found, expected in zip(neighbour_list(structure, cutoff=5.0), structure.get_neighbor_list(5.0), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_sites_may_lie_far_from_the_cell() -> None:
    """pymatgen alone walks through all cells in between, for hours."""
    crystal = reference_crystals()["TiO2 rutile"]
    far = crystal.frac_coords.copy()
    far[2] += [1e5, -2000, 0]
    one, two = (radius_graph(s, cutoff=4.0) for s in (crystal, Structure(crystal.lattice, crystal.species, far)))
    assert len(one.lengths) == len(two.lengths)
    np.testing.assert_allclose(np.sort(two.lengths), np.sort(one.lengths), atol=1e-6)


@pytest.mark.parametrize("side", [36.0, 400.0])
def test_too_many_neighbours_are_refused_before_they_are_listed(side: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a dense cell, and in a dense corner of a large one."""
    listed = []
    search = neighbours.search
    monkeypatch.setattr(neighbours, "search", lambda *given: listed.append(given[2]) or search(*given))
    grid = np.stack(np.meshgrid(*[np.arange(30)] * 3), axis=-1).reshape(-1, 3) * 1.2
    crystal = Structure(Lattice.cubic(side), ["Fe"] * len(grid), grid, coords_are_cartesian=True)
    with pytest.raises(UnsupportedCrystalError, match=r"27000 atoms have about .* million neighbours within 8 Å"):
        neighbour_list(crystal, cutoff=8.0)
    assert all(cutoff <= 3.0 for cutoff in listed)
