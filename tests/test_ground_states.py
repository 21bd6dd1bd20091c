"""Networks on formulas: of the crystals of a formula the one of lowest energy is learned."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from toy_binaries import ANIONS, CATIONS, run, write_binaries, write_recipe

from moe_mat.crystals.formulas import as_formula
from moe_mat.crystals.training_crystals import TrainingCrystals
from moe_mat.pretrain.ground_states import ground_states
from moe_mat.pretrain.sources import SourceData
from moe_mat.zoo.experts import load_expert


@pytest.fixture
def data(tmp_path):
    return write_binaries(tmp_path)


@pytest.fixture
def recipe(tmp_path):
    return partial(write_recipe, tmp_path)


def test_networks_on_formulas_learn_the_ground_state_of_each(data, tmp_path, recipe):
    """Of two crystals the one of lower energy counts, where it has a value, and both are in one part."""
    table = pd.read_parquet(data / "toy.parquet")
    table["energy"] = [-1.0 if number % 4 == 1 else 1.0 for number in range(len(table))]
    table["y"] = table["z_anion"] + 100 * (table["energy"] > 0)
    table.loc[5, "y"] = np.nan  # of the lower ones
    (data / "phases").mkdir()
    table.to_parquet(data / "phases" / "toy.parquet")
    networks = {"trunk": ["magpie"], "max_epochs": 2, "body": [8], "tower": [4], "groups": {"all": ["energy", "y"]}}
    path = recipe(cgcnn=None, targets={"energy": None, "y": None}, ground_state="energy", networks=networks)
    cards = run(path, data / "phases", tmp_path)
    card = cards["toy_y"]
    assert card.source["ground_state"] == "energy"
    n_formulas = len(CATIONS) * len(ANIONS)
    assert card.source["crystals"] == n_formulas
    assert card.source["left_out"]["other_polymorphs"] == n_formulas - 1  # one structure is no crystal
    crystals = TrainingCrystals.load(tmp_path / "zoo" / card.training_crystals)
    assert len(crystals.parts) == 2 * n_formulas - 1
    assert all(len(set(crystals.parts[crystals.formulas == one])) == 1 for one in set(crystals.formulas))
    assert load_expert(card.path).embed([as_formula("NaCl"), "MgO"]).shape == (2, 4)


def test_the_values_of_a_formula_are_those_of_its_ground_state():
    values = np.array([[3.0, 30], [1, np.nan], [np.nan, 5], [2, 20], [np.nan, 7]])
    samples = [as_formula(text) for text in ("NaCl", "Na2Cl2", "MgO", "NaCl", "MgO")]
    source = SourceData(list("abcde"), samples, values, np.array([0, 0, 1, 0, 1]), {"read": 5}, {}, None)
    found = ground_states(source, energy=0)
    assert found.ids == ["a", "c"]
    np.testing.assert_array_equal(found.values, [[1, 20], [np.nan, 5]])
    assert found.parts.tolist() == [0, 1]
    assert found.rows == {"read": 5, "other_polymorphs": 3}
