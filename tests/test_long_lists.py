"""Long lists of crystals: any rows of any format, ids that occur twice, and one plan for all who ask."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from cli.own_runs import WRITERS, write_parquet

from moe_mat.crystals import CrystalError, structure_key
from moe_mat.crystals import ids as ids_module
from moe_mat.crystals.ids import find_id_column, scan_ids
from moe_mat.crystals.readers import crystals_of_rows, iter_crystals, open_table
from moe_mat.crystals.tables import Table, Wanted
from moe_mat.shards import Embedding, agreed_plan
from moe_mat.zoo import find_cards

CUTS = (0, 1, 4, 5, 13, 20)


def parquet_folder(folder: Path) -> Path:
    table = pd.read_parquet(write_parquet(folder))
    (folder / "many").mkdir()
    for name, rows, size in (("a", slice(0, 6), 100), ("b", slice(6, 17), 4), ("c", slice(17, None), 100)):
        table[rows].to_parquet(folder / "many" / f"{name}.parquet", row_group_size=size)
    return folder / "many"


@pytest.mark.parametrize("write", [parquet_folder, *WRITERS.values()], ids=["parquet folder", *WRITERS])
def test_rows_from_any_to_any_are_those_of_the_whole(write, tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = list(iter_crystals(path))
    table = open_table(path)
    column = find_id_column(table)
    parts = [list(crystals_of_rows(table, range(*cut), id_column=column)) for cut in pairwise(CUTS)]
    assert [len(part) for part in parts] == [stop - start for start, stop in pairwise(CUTS)]
    read = [crystal for part in parts for crystal in part]
    assert [(one.material_id, one.source) for one in read] == [(one.material_id, one.source) for one in whole]
    assert [structure_key(one.structure) for one in read] == [structure_key(one.structure) for one in whole]
    assert scan_ids(table, column).n_rows == 20


def test_a_folder_of_parquet_is_one_table_of_one_kind(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path)
    (row,) = open_table(folder).rows(Wanted(7, 8, columns=("name",)))
    assert row.values.keys() == {"name"}
    assert row.name == "7"
    assert row.source.endswith("b.parquet, row 1")
    pd.read_parquet(folder / "b.parquet").drop(columns="bulk_modulus").to_parquet(folder / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet and .*a\.parquet do not both have the columns bulk_modulus"):
        open_table(folder)


def repeating(tmp_path: Path, rows: list[int]) -> Table:
    table = pd.read_parquet(write_parquet(tmp_path))
    table.loc[rows, "name"] = "again"
    table.to_parquet(tmp_path / "own.parquet")
    return open_table(tmp_path / "own.parquet")


@pytest.mark.parametrize("collide", [False, True])
def test_ids_that_occur_twice(collide: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if collide:  # as two of ten million ids might
        monkeypatch.setattr(ids_module, "hash", lambda name: len(str(name)), raising=False)
    table = repeating(tmp_path, [3, 8, 11])
    found = scan_ids(table, "name", on_error="skip")
    assert {name: (one.kept, one.later) for name, one in found.repeated.items()} == {"again": (3, (8, 11))}
    assert [found.taken(range(*cut)) for cut in pairwise((0, 5, 9, 20))] == [set(), {"again"}, {"again"}]
    assert found.taken(range(0, 20)) == set()
    with pytest.raises(CrystalError, match="row 8, crystal 'again': this id occurs a second time"):
        scan_ids(table, "name")
    assert scan_ids(table, None).repeated == {}


def test_all_who_ask_get_the_plan_of_the_first(tmp_path: Path) -> None:
    path, work = write_parquet(tmp_path), Embedding.by(find_cards("magpie"), "cpu")
    first = agreed_plan(tmp_path / "parts", path, work, shares=3, id_column="name")
    second = agreed_plan(tmp_path / "parts", path, work, shares=8)
    assert second == first
    assert second.digest == first.digest
    assert [list(first.share(shard, 2)) for shard in (1, 2)] == [[0, 2], [1]]
    assert [row for number in range(first.n_parts) for row in first.rows(number)] == list(range(20))
    copy = tmp_path / "elsewhere" / "own.parquet"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert agreed_plan(tmp_path / "parts", copy, work, shares=3).digest == first.digest
