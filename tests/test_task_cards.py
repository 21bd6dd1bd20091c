import json
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from benchmarks import tasks
from benchmarks.tasks import TaskDataError, list_tasks, load_task, matbench_folds, read_task, splits_digest
from moe_mat.crystals.datasets import _metadata
from moe_mat.tasks.recipes import TRANSFORMS, Evidence, Recipe, build, prepare, read_origin

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])
ALLOY = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
NAN = float("nan")

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")


# Cards ---------------------------------------------------------------------------------------------------------------


def test_there_are_nineteen_tasks():
    assert len(list_tasks()) == 19
    assert list_tasks("mp_eps_*") == ["mp_eps_electronic", "mp_eps_total"]


@pytest.mark.parametrize("name", list_tasks())
def test_card_follows_the_schema_and_names_columns_that_matminer_has(name):
    card = load_task(name)
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
    cards = [load_task(name) for name in list_tasks()]
    assert sum(card.comparable for card in cards) == 15
    assert sum(card.comparable and card.rows == "published" for card in cards) == 13
    assert {card.matbench.name for card in cards if card.matbench} == {
        "matbench_jdft2d",
        "matbench_phonons",
        "matbench_dielectric",
    }


def test_unknown_task_shows_close_ones():
    with pytest.raises(ValueError, match="mp_phonons"):
        load_task("mp_phonon")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"unit": None}, r"\$\.unit"),
        ({"rows": "roughly"}, r"\$\.rows"),
        ({"task": "other"}, "'other'"),
        ({"x": 1}, "'x'"),
    ],
)
def test_broken_card_is_named(tmp_path, monkeypatch, change, where):
    content = yaml.safe_load(load_task("mp_phonons").path.read_text())
    (tmp_path / "broken_card.yaml").write_text(yaml.safe_dump({**content, "task": "broken_card", **change}))
    monkeypatch.setattr(tasks, "CARDS", tmp_path)
    with pytest.raises(ValueError, match=where) as caught:
        load_task("broken_card")
    assert "broken_card.yaml" in str(caught.value)


@needs_data
def test_published_numbers_are_those_of_the_source():
    source = json.loads((Path(os.environ["MOE_MAT_DATA"]) / "published.json").read_text())
    assert set(source["tasks"]) == set(list_tasks())
    for name, facts in source["tasks"].items():
        card = load_task(name)
        assert (card.title, card.unit, card.fidelity) == (facts["title"], facts["unit"], facts["fidelity"])
        assert (card.recipe.dataset, card.recipe.transform) == (facts["matminer_dataset"], facts["target_transform"])
        found = {method: {"mean": mae.mean, "sd": mae.sd} for method, mae in card.published.items()}
        assert found == (facts.get("test_mae") or {})
    for name, facts in source["matbench"]["tasks"].items():
        card = load_task(Path(facts["file"]).stem)
        assert card.matbench is not None
        assert (card.matbench.name, card.matbench.unit, dict(card.matbench.mae)) == (name, facts["unit"], facts["mae"])
        assert {"none": "none", "exp": "ln"}[facts["inverse"]] == card.recipe.transform


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_are_undone(transform):
    forward, back = TRANSFORMS[transform]
    np.testing.assert_allclose(back(forward(np.array([0.3, 7.0]))), [0.3, 7.0])


def test_raw_unit_of_a_card():
    np.testing.assert_allclose(load_task("mp_phonons").to_raw(np.log([100.0, 900.0])), [100, 900])
    np.testing.assert_allclose(load_task("piezoelectric_tensor").to_raw(np.log1p([0.5])), [0.5])
    np.testing.assert_allclose(load_task("mp_poisson_ratio").to_raw(np.array([0.3])), [0.3])


# Prepared data -------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("name", list_tasks())
def test_prepared_target_is_the_evidence_of_the_card(name):
    table = pd.read_parquet(Path(os.environ["MOE_MAT_DATA"]) / "benchmark" / f"{name}.parquet", columns=[name])
    assert load_task(name).evidence.contradiction(Evidence.of(table[name])) is None


@needs_data
def test_prepared_task_comes_with_its_published_splits():
    task = read_task("expt_bandgap")
    assert len(task.structures) == len(task.target) == len(task.table) == 2443
    assert task.splits_origin == "published"
    source = json.loads((Path(os.environ["MOE_MAT_DATA"]) / "splits" / "expt_bandgap.json").read_text())
    for number, split in enumerate(task.splits):
        # 38 published rows have no structure, so that positions and published row numbers differ.
        assert task.table["row"].to_numpy()[split.test].tolist() == source[str(number)]["test"]
        assert not set(split.test) & set(split.train)
    assert "38 of 2481" in task.fidelity
    assert "splits: published" in task.fidelity


@needs_data
def test_splits_of_a_rebuilt_task_are_not_called_published():
    assert "not published" in read_task("jarvis_3d_gap_tbmbj").splits_origin


# The first test entries of fold 0 of matbench_dielectric in the Matbench package's own records: id, refractive index.
MATBENCH_FOLD_0 = {
    "mb-dielectric-0008": 2.0323401126123875,
    "mb-dielectric-0010": 2.077186558785705,
    "mb-dielectric-0019": 3.5748193427546107,
    "mb-dielectric-0025": 3.7103414038782647,
    "mb-dielectric-0031": 2.4219759839161665,
    "mb-dielectric-0036": 1.9344249791644088,
}


def test_matbench_folds_are_the_official_ones():
    folds = matbench_folds(4764)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(4764))
    assert all(sorted([*train, *test]) == list(range(4764)) for train, test in folds)
    numbers = [int(name[-4:]) for name in MATBENCH_FOLD_0]
    assert (folds[0][1][:6] + 1).tolist() == numbers  # Matbench counts from 1


@needs_data
def test_matbench_rows_in_raw_units_are_the_official_ones():
    path = Path(os.environ["MOE_MAT_DATA"]) / "benchmark" / "mp_dielectric.parquet"
    table = pd.read_parquet(path, columns=["mp_dielectric"])
    rows = matbench_folds(len(table))[0][1][:6]
    raw = load_task("mp_dielectric").to_raw(table["mp_dielectric"].to_numpy()[rows])
    np.testing.assert_allclose(raw, list(MATBENCH_FOLD_0.values()))


# Recipes, on frames shaped like matminer's ---------------------------------------------------------------------------


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
    card = load_task("jarvis_2d_dielectric_opt")
    table = build(card.recipe, "eps", load=frames(jarvis_dft_2d=JARVIS))
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
    table = build(load_task("mp_phonons").recipe, "mp_phonons", load=frames(matbench_phonons=source))
    np.testing.assert_allclose(table["mp_phonons"], np.log([100, 900]))
    assert list(table["material_id"]) == ["matbench_phonons-0", "matbench_phonons-1"]
    assert list(table["structure"]) == [SALT, DIAMOND]


def test_structures_are_joined_by_id():
    gaps = pd.DataFrame({"formula": list("abcd"), "expt_gap": [5.0, 1.0, 2.0, 3.0]})
    gaps["likely_mpid"] = ["mp-22862", "mp-66", None, "mp-new"]
    other = pd.DataFrame({"mpid": ["mp-66", "mp-22862", "mp-9"], "structure": [DIAMOND, SALT, SALT]})
    recipe = load_task("expt_bandgap").recipe
    table = build(recipe, "gap", load=frames(expt_gap_kingsbury=gaps, mp_all_20181018=other))
    assert list(table["structure"]) == [SALT, DIAMOND]
    assert list(table["gap"]) == [5.0, 1.0]
    assert [problem["reason"] for problem in table.attrs["left_out"]] == ["no structure"] * 2


def test_data_set_without_a_column_is_named():
    with pytest.raises(ValueError, match=r"jarvis_dft_2d has no column e_form"):
        build(load_task("jarvis_2d_eform").recipe, "x", load=frames(jarvis_dft_2d=JARVIS))


def test_recipe_with_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="fliter"):
        Recipe.from_dict({"dataset": "x", "target": ["y"], "fliter": []})
    with pytest.raises(ValueError, match="log10"):
        Recipe.from_dict({"dataset": "x", "target": ["y"], "transform": "log10"})


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A task of forty crystals with a card of its own, and what matminer would give for it."""
    rng = np.random.default_rng(0)
    crystals = [Structure(Lattice.cubic(3 + 0.1 * i), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for i in range(40)]
    source = pd.DataFrame({"mpid": [f"mp-{i}" for i in range(40)], "gap": rng.uniform(1, 2, 40), "structure": crystals})
    evidence = Evidence.of(np.log(source["gap"]))

    def write_card(*, exact: bool = True) -> Path:
        card = {
            "task": "toy_gap",
            "title": "Toy gap",
            "unit": "eV",
            "quantity": "band_gap",
            "rows": "published",
            "fidelity": "published rows",
            "recipe": {
                "dataset": "toys",
                "target": ["gap"],
                "transform": "ln",
                "material_id": "mpid",
                "exact": exact,
            },
            "evidence": {"n_rows": 40, "mean": evidence.mean, "std": evidence.std},
            "published": None,
            "matbench": None,
        }
        (tmp_path / "cards").mkdir(exist_ok=True)
        path = tmp_path / "cards" / "toy_gap.yaml"
        path.write_text(yaml.safe_dump(card))
        load_task.cache_clear()
        return path

    monkeypatch.setattr(tasks, "CARDS", tmp_path / "cards")
    monkeypatch.setenv("MOE_MAT_DATA", str(tmp_path / "data"))
    yield write_card, source
    load_task.cache_clear()


def test_prepare_then_read(toy, tmp_path):
    write_card, source = toy
    path = prepare(write_card(), tmp_path / "data", load=frames(toys=source))
    assert [file.name for file in path.parent.iterdir()] == ["toy_gap.parquet"]
    task = read_task("toy_gap")
    np.testing.assert_allclose(task.target, np.log(source["gap"]))
    assert list(task.table["material_id"]) == list(source["mpid"])
    for found, expected in zip(task.structures, source["structure"], strict=True):
        np.testing.assert_allclose(found.lattice.matrix, expected.lattice.matrix)
        np.testing.assert_allclose(found.cart_coords, expected.cart_coords)
        assert found.species == expected.species
    origin = read_origin(path)
    assert origin is not None
    assert origin["dataset"] == "toys"
    assert origin["exact"] is True


def test_seeded_splits_are_stored_and_checked(toy, tmp_path):
    write_card, source = toy
    prepare(write_card(), tmp_path / "data", load=frames(toys=source))
    task = read_task("toy_gap")
    assert task.splits_origin == "seeded, 70/15/15"
    assert [[len(part) for part in split] for split in task.splits] == [[28, 6, 6]] * 5
    for split in task.splits:
        assert sorted(np.concatenate(split)) == list(range(40))
    (file,) = (tmp_path / "data" / "splits").iterdir()
    again = read_task("toy_gap")
    assert splits_digest(again.splits) == again.splits_sha256 == task.splits_sha256
    content = json.loads(file.read_text())
    content["0"]["train"][0], content["0"]["test"][0] = content["0"]["test"][0], content["0"]["train"][0]
    file.write_text(json.dumps(content))
    with pytest.raises(TaskDataError, match="checksum"):
        read_task("toy_gap")
    file.unlink()
    assert read_task("toy_gap").splits_sha256 == task.splits_sha256


def test_rows_that_contradict_an_exact_card_are_not_written(toy, tmp_path):
    write_card, source = toy
    with pytest.raises(ValueError, match="39 rows where the card says 40"):
        prepare(write_card(), tmp_path / "data", load=frames(toys=source[:39]))
    assert not (tmp_path / "data").exists()


def test_other_rows_of_an_inexact_recipe_are_marked_everywhere(toy, tmp_path, caplog):
    write_card, source = toy
    prepare(write_card(exact=False), tmp_path / "data", load=frames(toys=source[:39]))
    assert "39 rows where the card says 40" in caplog.text
    # Published splits count other rows; they must not be used.
    (tmp_path / "data" / "splits").mkdir()
    (tmp_path / "data" / "splits" / "toy_gap.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        task = read_task("toy_gap")
    assert "do not compare" in task.fidelity
    assert task.splits_origin.startswith("seeded")
    assert len(task.structures) == 39


@pytest.mark.parametrize("damage", ["missing", "cut", "row", "value", "html"])
def test_unusable_data_are_named(toy, tmp_path, damage):
    write_card, source = toy
    path = prepare(write_card(), tmp_path / "data", load=frames(toys=source))
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "html":
        path.write_text("<html>403</html>")
    else:
        table = pd.read_parquet(path)
        table = table[:-1] if damage == "row" else table.assign(toy_gap=table["toy_gap"] + 1e-4)
        table.to_parquet(path)
    with pytest.raises(TaskDataError, match="toy_gap") as caught:
        read_task("toy_gap")
    assert str(path) in str(caught.value)
