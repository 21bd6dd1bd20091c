"""Tasks with their data: built and read again, with splits, and refused where they contradict their cards."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from moe_mat.tasks import (
    Evidence,
    TaskCards,
    TaskDataError,
    build_task,
    matbench_folds,
    read_origin,
    read_task,
    read_task_card,
    splits_digest,
)

CARDS = TaskCards()

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")


@needs_data
@pytest.mark.parametrize("name", CARDS.names())
def test_prepared_target_is_the_evidence_of_the_card(name):
    table = pd.read_parquet(Path(os.environ["MOE_MAT_DATA"]) / "benchmark" / f"{name}.parquet", columns=[name])
    assert CARDS.load(name).evidence.contradiction(Evidence.of(table[name])) is None


@needs_data
def test_prepared_task_comes_with_its_published_splits():
    task = read_task(CARDS.load("expt_bandgap"))
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
    assert "not published" in read_task(CARDS.load("jarvis_3d_gap_tbmbj")).splits_origin


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
    raw = CARDS.load("mp_dielectric").to_raw(table["mp_dielectric"].to_numpy()[rows])
    np.testing.assert_allclose(raw, list(MATBENCH_FOLD_0.values()))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The card of a task of forty crystals, and what matminer would give for it."""
    rng = np.random.default_rng(0)
    crystals = [Structure(Lattice.cubic(3 + 0.1 * i), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for i in range(40)]
    source = pd.DataFrame({"mpid": [f"mp-{i}" for i in range(40)], "gap": rng.uniform(1, 2, 40), "structure": crystals})
    evidence = Evidence.of(np.log(source["gap"]))
    card = {
        "task": "toy_gap",
        "title": "Toy gap",
        "unit": "eV",
        "quantity": "band_gap",
        "rows": "published",
        "fidelity": "published rows",
        "recipe": {"dataset": "toys", "target": ["gap"], "transform": "ln", "material_id": "mpid", "exact": True},
        "evidence": {"n_rows": 40, "mean": evidence.mean, "std": evidence.std},
        "published": None,
        "matbench": None,
    }
    path = tmp_path / "toy_gap.yaml"
    path.write_text(yaml.safe_dump(card))
    monkeypatch.setenv("MOE_MAT_DATA", str(tmp_path / "data"))
    return read_task_card(path), source


def test_build_then_read(toy, tmp_path):
    card, source = toy
    path = build_task(card, tmp_path / "data", load={"toys": source}.__getitem__)
    assert [file.name for file in path.parent.iterdir()] == ["toy_gap.parquet"]
    task = read_task(card)
    np.testing.assert_allclose(task.target, np.log(source["gap"]))
    assert list(task.table["material_id"]) == list(source["mpid"])
    for found, expected in zip(task.structures, source["structure"], strict=True):
        np.testing.assert_allclose(found.lattice.matrix, expected.lattice.matrix)
        np.testing.assert_allclose(found.cart_coords, expected.cart_coords)
        assert found.species == expected.species
    origin = read_origin(path)
    assert origin is not None
    assert origin.dataset == "toys"
    assert origin.exact is True


def test_seeded_splits_are_stored_and_checked(toy, tmp_path):
    card, source = toy
    build_task(card, tmp_path / "data", load={"toys": source}.__getitem__)
    task = read_task(card)
    assert task.splits_origin == "seeded, 70/15/15"
    assert [[len(part) for part in split] for split in task.splits] == [[28, 6, 6]] * 5
    for split in task.splits:
        assert sorted(np.concatenate(split)) == list(range(40))
    (file,) = (tmp_path / "data" / "splits").iterdir()
    again = read_task(card)
    assert splits_digest(again.splits) == again.splits_sha256 == task.splits_sha256
    content = json.loads(file.read_text())
    content["0"]["train"][0], content["0"]["test"][0] = content["0"]["test"][0], content["0"]["train"][0]
    file.write_text(json.dumps(content))
    with pytest.raises(TaskDataError, match="checksum"):
        read_task(card)
    file.unlink()
    assert read_task(card).splits_sha256 == task.splits_sha256


def test_rows_that_contradict_an_exact_card_are_not_written(toy, tmp_path):
    card, source = toy
    with pytest.raises(ValueError, match="39 rows where the card says 40"):
        build_task(card, tmp_path / "data", load={"toys": source[:39]}.__getitem__)
    assert not (tmp_path / "data").exists()


def test_other_rows_of_an_inexact_recipe_are_marked_everywhere(toy, tmp_path, caplog):
    card, source = toy
    card = replace(card, recipe=replace(card.recipe, exact=False))
    build_task(card, tmp_path / "data", load={"toys": source[:39]}.__getitem__)
    assert "39 rows where the card says 40" in caplog.text
    # Published splits count other rows; they must not be used.
    (tmp_path / "data" / "splits").mkdir()
    (tmp_path / "data" / "splits" / "toy_gap.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        task = read_task(card)
    assert "do not compare" in task.fidelity
    assert task.splits_origin.startswith("seeded")
    assert len(task.structures) == 39


@pytest.mark.parametrize("damage", ["missing", "cut", "row", "value", "html"])
def test_unusable_data_are_named(toy, tmp_path, damage):
    card, source = toy
    path = build_task(card, tmp_path / "data", load={"toys": source}.__getitem__)
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
        read_task(card)
    assert str(path) in str(caught.value)
