"""Tables of vectors that people have, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moe_mat.crystals.tables import UnreadableError
from moe_mat.zoo.vector_tables import VectorTable

NAMES = ["a", "b", "c"]
VECTORS = np.array([[1.5, -2.0], [0.25, 4.0], [3.0, 0.5]])


def written(folder: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table({"material_id": NAMES} | columns), folder / "table.parquet")
    return folder / "table.parquet"


def read(table: VectorTable) -> tuple[np.ndarray, dict[int, str]]:
    (batch,) = table.vectors()
    return batch


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float16()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())], ids=str
)
def test_columns_of_lists(tmp_path: Path, kind: pa.DataType) -> None:
    numbers = VECTORS.astype(kind.value_type.to_pandas_dtype())
    table = VectorTable.open(written(tmp_path, {"orb": pa.array(list(numbers), kind), "energy": [1.0, 2.0, 3.0]}))
    assert (table.id_column, table.vector_columns, table.width) == ("material_id", ("orb",), 2)
    assert list(table.ids()) == NAMES
    values, problems = read(table)
    assert values.dtype == (np.float16 if "half" in str(kind) else np.float32)
    np.testing.assert_array_equal(values, VECTORS)
    assert not problems


def test_columns_of_numbers_by_a_pattern(tmp_path: Path) -> None:
    columns = {"v_0": VECTORS[:, 0], "v_1": VECTORS[:, 1].astype(np.float32), "n": [1, 2, 3]}
    path = written(tmp_path, columns)
    pd.read_parquet(path).to_csv(tmp_path / "table.csv", index=False)
    for file in (path, tmp_path / "table.csv"):
        table = VectorTable.open(file, vector_column="v_*")
        assert table.vector_columns == ("v_0", "v_1")
        np.testing.assert_array_equal(read(table)[0], VECTORS)
        assert VectorTable.open(file, vector_column="n").width == 1


def test_ids_are_text_whatever_they_were(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,v\n007,1\n8,2\n,3\n")
    assert list(VectorTable.open(tmp_path / "table.csv", id_column="name", vector_column="v").ids()) == [
        "007",
        "8",
        None,
    ]
    pq.write_table(pa.table({"name": [7.0, 8.0, None], "v": [1.0, 2.0, 3.0]}), tmp_path / "table.parquet")
    table = VectorTable.open(tmp_path / "table.parquet", id_column="name", vector_column="v")
    assert list(table.ids()) == ["7", "8", None]


def test_rows_that_are_no_vectors(tmp_path: Path) -> None:
    bad = [[1.0, 2.0], [1.0, None], [1.0], None, [np.nan, 1.0], [1e300, 0.0]]
    pq.write_table(pa.table({"id": list("abcdef"), "v": pa.array(bad)}), tmp_path / "table.parquet")
    _, problems = read(VectorTable.open(tmp_path / "table.parquet"))
    assert problems == {
        1: "number 1 of its vector is missing, or is not finite as float32",
        2: "its vector has 1 numbers, and the first of the table 2",
        3: "its vector is missing",
        4: "number 0 of its vector is missing, or is not finite as float32",
        5: "number 0 of its vector is missing, or is not finite as float32",
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"id_column": "matrial_id"},
            r"no column 'matrial_id': did you mean 'material_id'\? There are material_id, orb",
        ),
        ({"vector_column": "orbb"}, r"no column 'orbb': did you mean 'orb'"),
        ({"vector_column": "x_*"}, r"no column 'x_\*'"),
        ({"vector_column": "material_id"}, r"'material_id' names the crystals: name the column with the vectors"),
        ({}, r"which column of .* Give --vector-column"),
        ({"vector_column": "of_atoms"}, r"'of_atoms' holds lists of lists: pool what describes atoms"),
        ({"vector_column": "text"}, r"'text' holds no numbers, but string"),
        ({"vector_column": "*o*"}, r"'orb' holds whole vectors: name one of them"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, asked: dict[str, str], said: str) -> None:
    lists = list(VECTORS)
    path = written(
        tmp_path,
        {"orb": lists, "orb2": lists, "of_atoms": [[[1.0]]] * 3, "text": ["[1, 2]"] * 3, "no": [1.0, 2.0, 3.0]},
    )
    with pytest.raises(ValueError, match=said):
        VectorTable.open(path, **asked)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no table .*none\.parquet"):
        VectorTable.open(tmp_path / "none.parquet")
    (tmp_path / "torn.parquet").write_bytes(written(tmp_path, {"orb": list(VECTORS)}).read_bytes()[:-20])
    with pytest.raises(UnreadableError, match="not a whole Parquet file"):
        VectorTable.open(tmp_path / "torn.parquet")
    pq.write_table(pa.table({"name": NAMES, "v": list(VECTORS)}), tmp_path / "unnamed.parquet")
    with pytest.raises(
        ValueError, match=r"which column of .* names the crystals\? Give --id-column; there are name, v"
    ):
        VectorTable.open(tmp_path / "unnamed.parquet")
    # Words that are there from the first lines on make a column of text.
    (tmp_path / "words.csv").write_text("id,v\n" + "a,1.5\n" * 300_000 + "b,two\n")
    with pytest.raises(UnreadableError, match=r"words\.csv .*two"):
        list(VectorTable.open(tmp_path / "words.csv", vector_column="v").vectors())
