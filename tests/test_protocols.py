"""Protocols: which rows a cell works on, and in which unit it is scored."""

import os

import numpy as np
import pytest
from toy_benchmark import toy_sweep, write_method

from benchmarks.cells.protocols import assign_rows, few_labels, resolve_tasks
from benchmarks.cells.results import Cell, read_result
from moe_mat.crystals import Split
from moe_mat.tasks import TRANSFORMS, TaskCards, matbench_folds, read_task

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")


def test_few_labels_are_nested_and_count_validation():
    rows = Split(np.arange(100), np.arange(100, 120), np.arange(120, 140))
    small, large = few_labels(rows, 10, seed=[0, 1]), few_labels(rows, 30, seed=[0, 1])
    assert (len(small.train), len(small.val)) == (8, 2)
    assert set(small.train) <= set(large.train) <= set(rows.train)
    assert set(small.val) <= set(large.val) <= set(rows.val)
    assert (small.test == rows.test).all()
    assert set(small.train) != set(few_labels(rows, 10, seed=[1, 1]).train)
    everything = few_labels(rows, 120, seed=[0, 1])
    assert (len(everything.train), len(everything.val)) == (100, 20)
    with pytest.raises(ValueError, match="use 3 to 120"):
        few_labels(rows, 121, seed=[0, 1])


def test_few_labels_have_files_of_their_own(tmp_path, monkeypatch):
    toy = toy_sweep(tmp_path, monkeypatch)
    median = write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median")
    assert toy("--methods", median, "--tasks", "toy_gap", "--splits", "0", "--n-labels", "5", "10") == 0
    result = read_result(tmp_path / "results" / "noisy" / "toy_gap.0.0.10.json")
    assert result["rows"] == {"train": 8, "val": 2, "test": 6}


def test_units_and_names_of_the_protocols():
    cards = TaskCards()
    assert cards.unit("matbench_phonons") == "1/cm"
    assert cards.unit("mp_phonons") == "ln 1/cm"
    assert cards.unit("mp_dielectric") == "ln"
    assert cards.unit("piezoelectric_tensor") == "ln(1+C/m^2)"
    both = resolve_tasks(["mp_phonons", "matbench_jdft2d"], cards, protocol="matbench")
    assert both == ["matbench_phonons", "matbench_jdft2d"]
    assert len(resolve_tasks(["all"], cards, protocol="matbench")) == 3
    with pytest.raises(ValueError, match="mp_poisson_ratio is not in Matbench"):
        resolve_tasks(["mp_poisson_ratio"], cards, protocol="matbench")


@needs_data
def test_matbench_cells_are_in_raw_units_and_keep_the_fold():
    task = read_task(TaskCards().load("mp_phonons"))
    work = assign_rows(Cell("matbench_phonons", 2, "x"), task, "1/cm")
    train, test = matbench_folds(len(task.target))[2]
    assert (work.rows.test == test).all()
    assert sorted([*work.rows.train, *work.rows.val]) == sorted(train)
    assert len(work.rows.val) == round(0.15 * len(train))
    np.testing.assert_allclose(work.target, TRANSFORMS["ln"][1](task.target))
    assert work.splits_sha256 != task.splits_sha256
