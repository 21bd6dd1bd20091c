"""Crystals that are the same by structure, and splits that keep groups together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from moe_mat.crystals import (
    duplicates,
    group_labels,
    group_split,
    load_quickstart,
    same_crystals,
    structure_from_arrays,
)


def rebuilt(structure: Structure, order: np.random.Generator) -> Structure:
    """The crystal in another cell, turned, shifted, with its sites in another order."""
    cell = structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
    rotation = np.linalg.qr(order.normal(size=(3, 3)))[0]
    rows = order.permutation(len(cell))
    positions = (cell.cart_coords + order.normal(size=3)) @ rotation
    species = [cell[row].specie.symbol for row in rows]
    return structure_from_arrays(cell.lattice.matrix @ rotation, species, positions[rows])


def salt(a: float, elements: tuple[str, str] = ("Na", "Cl")) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), elements, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_choice_of_cell_makes_no_difference() -> None:
    structures, _ = load_quickstart()
    others = [rebuilt(one, np.random.default_rng(0)) for one in structures]
    conventional = [SpacegroupAnalyzer(one).get_conventional_standard_structure() for one in structures]
    relaxed = [one.copy().perturb(0.01).apply_strain(0.005) for one in structures]
    same = same_crystals([*structures, *others, *conventional, *relaxed]).reshape(4, -1)
    assert len(set(same[0])) == len(structures)
    assert (same == same[0]).all()


def test_what_differs_is_not_the_same() -> None:
    quartz = Structure.from_spacegroup(
        "P3_121", Lattice.hexagonal(4.91, 5.40), ["Si", "O"], [[0.47, 0, 1 / 3], [0.41, 0.27, 0.12]]
    )
    stishovite = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.18, 2.67), ["Si", "O"], [[0, 0, 0], [0.306, 0.306, 0]]
    )
    # One lattice, decorated in two ways; one layer, stacked in two.
    wurtzite = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.82, 6.26), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]]
    )
    blende = Structure.from_spacegroup("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25] * 3])
    heusler, inverse = (
        Structure(Lattice.cubic(6.0), species * 4, [np.add(face, shift) for face in FACES for shift in SHIFTS])
        for species in (["Cu", "Al", "Cu", "Mn"], ["Cu", "Cu", "Al", "Mn"])
    )
    crystals = [quartz, stishovite, wurtzite, blende, heusler, inverse, salt(5.6), salt(6.2), salt(5.6, ("Cl", "Na"))]
    # Rock salt is the same with its elements exchanged.
    assert same_crystals(crystals).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 6]


FACES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
SHIFTS = [[0.25 * n] * 3 for n in range(4)]


def test_oxidation_states_make_no_difference_and_none_is_needed() -> None:
    charged = salt(5.6)
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    primitive = charged.get_primitive_structure()
    assert same_crystals([salt(5.6), charged, primitive]).tolist() == [0, 0, 0]
    assert same_crystals([]).tolist() == []
    assert same_crystals([salt(5.6)]).tolist() == [0]


@pytest.mark.parametrize("kind", ["one formula", "many formulas"])
def test_thousands_are_compared_by_few_matches(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher, matches = duplicates.StructureMatcher, []
    fit = matcher.fit
    monkeypatch.setattr(matcher, "fit", lambda *pair, **given: matches.append(pair) or fit(*pair, **given))
    random = np.random.default_rng(0)
    elements = ["Na", "K", "Rb", "Li"]
    crystals = []
    for number in range(2000):
        species = ["Na", "Cl"] if kind == "one formula" else [elements[number % 4]] * 2 + ["Cl"] * (1 + number // 4 % 5)
        lattice = Lattice.from_parameters(*random.uniform(4, 7, 3), *random.uniform(75, 105, 3))
        crystals.append(Structure(lattice, species, random.uniform(size=(len(species), 3))))
    same = same_crystals([*crystals, *(one * (1, 1, 2) for one in crystals[:50])])
    assert len(matches) < 200  # of two million pairs
    assert (same[-50:] == same[:50]).all()


# Groups ---------------------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 30), min_size=3, max_size=60),
    seed=st.integers(0, 3),
    test=st.sampled_from([0.0, 0.15, 0.3]),
)
def test_a_group_is_in_one_part_and_shares_are_met_as_groups_allow(sizes: list[int], seed: int, test: float) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.random.default_rng(seed).permutation(len(groups))
    fractions = (0.85 - test, 0.15, test)
    split = group_split(groups[rows].tolist(), fractions=fractions, seed=seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(len(groups)))
    parts = [set(groups[rows][part].tolist()) for part in split]
    assert not parts[0] & parts[1]
    assert not parts[2] & (parts[0] | parts[1])
    for part, share in zip(split, fractions, strict=True):
        assert (len(part) > 0) == (share > 0)
        assert len(part) <= share * len(groups) + max(sizes) + 2


def test_seeds_repeat_and_differ() -> None:
    groups = [number // 3 for number in range(90)]
    once, again, other = (group_split(groups, seed=seed).train.tolist() for seed in (3, 3, 4))
    assert once == again != other


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups are too few for 3 parts"):
        group_split(["a"] * 10 + ["b"] * 10)


def test_what_rows_can_be_grouped_by() -> None:
    crystals = [salt(5.6), salt(5.6) * (1, 1, 2), salt(6.6), salt(5.0, ("K", "Cl"))]
    table = pd.DataFrame({"material_id": list("wxyz"), "paper": [1, 2, 1, 2], "lab": [1, None, 1, 2]})
    assert group_labels("structure", crystals, table) == [0, 0, 1, 2]
    assert group_labels("formula", crystals, table) == ["NaCl", "NaCl", "NaCl", "KCl"]
    assert group_labels("chemical_system", crystals, table) == ["Cl-Na", "Cl-Na", "Cl-Na", "Cl-K"]
    assert group_labels("paper", crystals, table) == [1, 2, 1, 2]
    with pytest.raises(ValueError, match="'papper', which is no column of the data: did you mean 'paper'"):
        group_labels("papper", crystals, table)
    with pytest.raises(ValueError, match="'lab' has no group for 1 crystals, the first is 'x'"):
        group_labels("lab", crystals, table)
