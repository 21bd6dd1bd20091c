"""Recipes, on frames shaped like matminer's."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from moe_mat.tasks import TaskCards, TaskRecipe, build_table

CARDS = TaskCards()
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])
ALLOY = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
NAN = float("nan")


def frames(**by_name: pd.DataFrame):
    return by_name.__getitem__


JARVIS = pd.DataFrame(
    {
        "mpid": ["mp-1", "mp-2", "mp-3", "mp-4", "mp-5"],
        "gap opt": [1.5, 0.0, NAN, 2.0, 0.7],
        "epsilon_x opt": [2.0, 3.0, 4.0, 5.0, 6.0],
        "epsilon_y opt": [2.0, 3.0, 4.0, 5.0, 6.0],
        "epsilon_z opt": [5.0, 3.0, 4.0, NAN, 6.0],
        "structure": [SALT, DIAMOND, SALT, DIAMOND, ALLOY],
    }
)


def test_mean_of_columns_without_metals_gaps_and_disorder():
    card = CARDS.load("jarvis_2d_dielectric_opt")
    table = build_table(card.recipe, "eps", load=frames(jarvis_dft_2d=JARVIS))
    assert table.drop(columns="structure").to_dict("records") == [{"row": 0, "material_id": "mp-1", "eps": 3.0}]
    assert table["structure"][0] == SALT
    reasons = {problem["material_id"]: problem for problem in table.attrs["left_out"]}
    assert list(reasons) == ["mp-2", "mp-3", "mp-4", "mp-5"]
    assert "0.0 is not above zero" in reasons["mp-2"]["reason"]
    assert reasons["mp-3"]["column"] == "gap opt"
    assert reasons["mp-4"]["reason"] == "no value"
    assert reasons["mp-5"]["column"] == "structure"
    assert reasons["mp-5"]["source"] == "jarvis_dft_2d, row 4"


def test_logarithm_and_ids_by_row():
    source = pd.DataFrame({"last phdos peak": [100.0, 900.0], "structure": [SALT.as_dict(), DIAMOND.as_dict()]})
    table = build_table(CARDS.load("mp_phonons").recipe, "mp_phonons", load=frames(matbench_phonons=source))
    np.testing.assert_allclose(table["mp_phonons"], np.log([100, 900]))
    assert list(table["material_id"]) == ["matbench_phonons-0", "matbench_phonons-1"]
    assert list(table["structure"]) == [SALT, DIAMOND]


def test_structures_are_joined_by_id():
    gaps = pd.DataFrame({"formula": list("abcd"), "expt_gap": [5.0, 1.0, 2.0, 3.0]})
    gaps["likely_mpid"] = ["mp-22862", "mp-66", None, "mp-new"]
    other = pd.DataFrame({"mpid": ["mp-66", "mp-22862", "mp-9"], "structure": [DIAMOND, SALT, SALT]})
    recipe = CARDS.load("expt_bandgap").recipe
    table = build_table(recipe, "gap", load=frames(expt_gap_kingsbury=gaps, mp_all_20181018=other))
    assert list(table["structure"]) == [SALT, DIAMOND]
    assert list(table["gap"]) == [5.0, 1.0]
    assert [problem["reason"] for problem in table.attrs["left_out"]] == ["no structure"] * 2


def test_data_set_without_a_column_is_named():
    with pytest.raises(ValueError, match=r"jarvis_dft_2d has no column e_form"):
        build_table(CARDS.load("jarvis_2d_eform").recipe, "x", load=frames(jarvis_dft_2d=JARVIS))


def test_recipe_with_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="fliter"):
        TaskRecipe.from_dict({"dataset": "x", "target": ["y"], "fliter": []})
    with pytest.raises(ValueError, match="log10"):
        TaskRecipe.from_dict({"dataset": "x", "target": ["y"], "transform": "log10"})
