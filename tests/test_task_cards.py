"""Task cards: every one that ships is valid, and what it says is what its source says."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from moe_mat.crystals.datasets import _metadata
from moe_mat.tasks import TRANSFORMS, TaskCards

CARDS = TaskCards()

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")


def test_there_are_nineteen_tasks():
    assert len(CARDS.names()) == 19
    assert CARDS.names("mp_eps_*") == ["mp_eps_electronic", "mp_eps_total"]


@pytest.mark.parametrize("name", CARDS.names())
def test_card_follows_the_schema_and_names_columns_that_matminer_has(name):
    card = CARDS.load(name)
    columns = _metadata()[card.recipe.dataset]["columns"]
    assert {*card.recipe.target, *card.recipe.positive} <= set(columns)
    assert card.recipe.material_id is None or card.recipe.material_id in columns
    if card.recipe.join is None:
        assert "structure" in columns
    else:
        assert card.recipe.join.left in columns
        assert {card.recipe.join.right, "structure"} <= set(_metadata()[card.recipe.join.dataset]["columns"])
    if card.recipe.exact:
        assert card.evidence.n_rows <= _metadata()[card.recipe.dataset]["num_entries"]
    assert (card.rows == "rebuilt") == ("do not compare" in card.fidelity)
    assert bool(card.published) == (card.source is not None)


def test_thirteen_tasks_are_exactly_comparable():
    cards = [CARDS.load(name) for name in CARDS.names()]
    assert sum(card.comparable for card in cards) == 15
    assert sum(card.comparable and card.rows == "published" for card in cards) == 13
    assert {card.matbench.name for card in cards if card.matbench} == {
        "matbench_jdft2d",
        "matbench_phonons",
        "matbench_dielectric",
    }


def test_unknown_task_shows_close_ones():
    with pytest.raises(ValueError, match="mp_phonons"):
        CARDS.load("mp_phonon")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"unit": None}, "unit: None"),
        ({"rows": "roughly"}, "rows: 'roughly'"),
        ({"task": "other"}, "'other'"),
        ({"x": 1}, "'x'"),
    ],
)
def test_broken_card_is_named(tmp_path, change, where):
    content = yaml.safe_load(CARDS.load("mp_phonons").path.read_text())
    (tmp_path / "broken_card.yaml").write_text(yaml.safe_dump({**content, "task": "broken_card", **change}))
    with pytest.raises(ValueError, match=where) as caught:
        TaskCards(tmp_path).load("broken_card")
    assert "broken_card.yaml" in str(caught.value)


@needs_data
def test_published_numbers_are_those_of_the_source():
    source = json.loads((Path(os.environ["MOE_MAT_DATA"]) / "published.json").read_text())
    assert set(source["tasks"]) == set(CARDS.names())
    for name, facts in source["tasks"].items():
        card = CARDS.load(name)
        assert (card.title, card.unit, card.fidelity) == (facts["title"], facts["unit"], facts["fidelity"])
        assert (card.recipe.dataset, card.recipe.transform) == (facts["matminer_dataset"], facts["target_transform"])
        found = {method: {"mean": mae.mean, "sd": mae.sd} for method, mae in card.published.items()}
        assert found == (facts.get("test_mae") or {})
    for name, facts in source["matbench"]["tasks"].items():
        card = CARDS.load(Path(facts["file"]).stem)
        assert card.matbench is not None
        assert (card.matbench.name, card.matbench.unit, dict(card.matbench.mae)) == (name, facts["unit"], facts["mae"])
        assert {"none": "none", "exp": "ln"}[facts["inverse"]] == card.recipe.transform


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_are_undone(transform):
    forward, back = TRANSFORMS[transform]
    np.testing.assert_allclose(back(forward(np.array([0.3, 7.0]))), [0.3, 7.0])


def test_raw_unit_of_a_card():
    np.testing.assert_allclose(CARDS.load("mp_phonons").to_raw(np.log([100.0, 900.0])), [100, 900])
    np.testing.assert_allclose(CARDS.load("piezoelectric_tensor").to_raw(np.log1p([0.5])), [0.5])
    np.testing.assert_allclose(CARDS.load("mp_poisson_ratio").to_raw(np.array([0.3])), [0.3])


def test_cards_travel_to_workers_and_are_those_of_their_folder(tmp_path):
    cards = TaskCards()
    cards.load("mp_phonons")
    assert pickle.loads(pickle.dumps(cards)).load("mp_phonons") == cards.load("mp_phonons")
    assert cards == TaskCards()
    assert cards != TaskCards(tmp_path)


def test_cards_are_found_by_patterns_and_by_either_name():
    assert [card.name for card in CARDS.find(["mp_eps_*", "mp_phonons"])] == [
        "mp_eps_electronic",
        "mp_eps_total",
        "mp_phonons",
    ]
    assert [card.name for card in CARDS.find()] == CARDS.names()
    with pytest.raises(ValueError, match="mp_phonons"):
        CARDS.find(["mp_phonon"])
    assert CARDS.of("matbench_phonons") is CARDS.of("mp_phonons") is CARDS.load("mp_phonons")
