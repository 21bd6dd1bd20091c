"""Splits: no row twice, none lost, and published ones are taken as they are or refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import PARTS, Split, random_split, read_split

DATA = Path(os.environ.get("MOE_MAT_DATA", "absent"))
TASKS = sorted(path.stem for path in (DATA / "splits").glob("*.json"))


def table(*ids: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"material_id": list(ids), **columns})


def write(folder: Path, content: Any) -> Path:
    path = folder / "splits.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lists(split: Split) -> list[list[int]]:
    return [part.tolist() for part in split]


# Random


@given(n_rows=st.integers(3, 500), seed=st.integers(0, 5), test=st.sampled_from([0.0, 0.1, 0.15, 0.3]))
def test_every_row_is_in_one_part(n_rows: int, seed: int, test: float) -> None:
    split = random_split(n_rows, fractions=(0.8 - test, 0.2, test), seed=seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(n_rows))
    sizes = [len(part) for part in split]
    for size, share in zip(sizes, (0.8 - test, 0.2, test), strict=True):
        assert abs(size - share * n_rows) <= 2
    assert sizes[0] >= 1
    assert sizes[1] >= 1
    assert (sizes[2] > 0) == (test > 0)


def test_seeds_repeat_and_differ() -> None:
    assert lists(random_split(50, seed=3)) == lists(random_split(50, seed=3))
    assert lists(random_split(50, seed=3)) != lists(random_split(50, seed=4))


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.7, 0.2, 0.2)])
def test_shares_that_are_none_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="not shares that sum to 1"):
        random_split(100, fractions=fractions)


@pytest.mark.parametrize(("n_rows", "fractions"), [(2, (0.7, 0.15, 0.15)), (0, (0.7, 0.15, 0.15)), (9, (0.5, 0, 0.5))])
def test_too_few_rows_are_refused(n_rows: int, fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="too few"):
        random_split(n_rows, fractions=fractions)


# From a file


@pytest.mark.skipif(not TASKS, reason="MOE_MAT_DATA names no folder with splits/*.json")
def test_published_splits_are_read_as_they_are() -> None:
    task = "jarvis_2d_exfoliation"
    _, rows = read_structures(DATA / "benchmark" / f"{task}.parquet", targets=[task])
    for name, parts in json.loads((DATA / "splits" / f"{task}.json").read_text()).items():
        split = read_split(DATA / "splits" / f"{task}.json", name, rows)
        for part in PARTS:
            assert rows["row"].iloc[getattr(split, part)].tolist() == parts[part]
        assert len(set(np.concatenate(split).tolist())) == sum(map(len, parts.values()))


def test_strings_are_ids_and_numbers_are_rows(tmp_path: Path) -> None:
    ids = write(tmp_path, {"0": {"train": ["c", "a"], "val": ["b"], "test": ["d"]}})
    assert lists(read_split(ids, 0, table("a", "b", "c", "d"))) == [[2, 0], [1], [3]]
    rows = write(tmp_path, {"first": {"train": [12, 10], "val": [11], "test": []}})
    assert lists(read_split(rows, "first", table("a", "b", "c", row=[10, 11, 12]))) == [[2, 0], [1], []]
    numbers = write(tmp_path, {"0": {"train": [2, 0], "val": [1], "test": []}})
    assert lists(read_split(numbers, "0", table("a", "b", "c"))) == [[2, 0], [1], []]
    assert all(part.dtype == int for part in read_split(numbers, "0", table("a", "b", "c")))


@pytest.mark.parametrize("entries", [["a", "b", "a"], ["a", "b", "b"]])
def test_a_row_in_two_parts_is_refused(entries: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, {"0": {"train": entries[:1], "val": entries[1:2], "test": entries[2:]}})
    with pytest.raises(ValueError, match=f"names row '{entries[2]}' more than once"):
        read_split(path, 0, table("a", "b"))


def test_rows_that_reading_left_out_are_left_out(tmp_path: Path) -> None:
    ids = write(tmp_path, {"0": {"train": ["a", "bad"], "val": ["b"], "test": ["worse"]}})
    assert lists(read_split(ids, 0, table("a", "b"), left_out={"bad", "worse"})) == [[0], [1], []]
    rows = write(tmp_path, {"0": {"train": [7, 8], "val": [9], "test": []}})
    assert lists(read_split(rows, 0, table("a", "b", row=[7, 9]), left_out={"bad"})) == [[0], [1], []]


def test_rows_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    ids = write(tmp_path, {"0": {"train": ["a", "bad"], "val": ["b"], "test": ["unheard of"]}})
    with pytest.raises(ValueError, match=r"rows that the data do not have: .*unheard of"):
        read_split(ids, 0, table("a", "b"), left_out={"bad"})
    for numbers in ([0, 5], [0, -1]):
        path = write(tmp_path, {"0": {"train": numbers, "val": [1], "test": []}})
        with pytest.raises(ValueError, match="rows that the data do not have"):
            read_split(path, 0, table("a", "b"))


def test_row_numbers_mean_nothing_once_rows_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path, {"0": {"train": [0], "val": [1], "test": []}})
    with pytest.raises(ValueError, match=r"counts rows, and rows were left out.*material ids"):
        read_split(path, 0, table("a", "b"), left_out={"bad"})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not a JSON file"),
        ([1, 2], "is not of the form"),
        ({"0": [1, 2]}, "is not of the form"),
        ({"1": {}, "2": {}}, "has no split 0; it has 1, 2"),
        ({"0": {"train": [0], "test": [1]}}, "split 0 of .* has no val rows"),
        ({"0": {"train": [0], "val": {"a": 1}, "test": [1]}}, "is not of the form"),
        ({"0": {"train": [[0]], "val": [1], "test": []}}, "is not of the form"),
        ({"0": {"train": [], "val": [1], "test": [0]}}, "leaves no training"),
        ({"0": {"train": [1], "val": [], "test": [0]}}, "no validation rows"),
    ],
)
def test_files_of_another_form_are_named(content: Any, problem: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=problem) as caught:
        read_split(path, 0, table("a", "b"))
    assert str(path) in str(caught.value)
