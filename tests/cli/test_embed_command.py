"""``moe-mat embed``: a file of vectors; and the cache that it fills."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cli.own_runs import Run, crystals
from moe_mat import load_expert


def test_embed_writes_what_the_expert_says(run: Run, own: list[str]) -> None:
    assert run("embed", own[1], "--id_column", "name", "--experts", "[magpie,structure_features]") == 0
    structures, table = crystals()
    rows = pq.read_table("embeddings.parquet").to_pandas()
    assert list(rows["material_id"]) == list(table["name"])
    for tag in ("magpie", "structure_features"):
        expected = load_expert(tag).embed(structures)
        np.testing.assert_allclose(np.stack(rows[tag].tolist()), expected, rtol=1e-4, atol=1e-5)


def test_vectors_are_written_without_dictionaries(run: Run, own: list[str]) -> None:
    assert run("embed", own[1], "--id_column", "name", "--experts", "magpie") == 0
    columns = pq.ParquetFile("embeddings.parquet").metadata.row_group(0)
    of_vectors = [
        columns.column(i) for i in range(columns.num_columns) if columns.column(i).path_in_schema != "material_id"
    ]
    assert of_vectors
    assert not any(column.has_dictionary_page for column in of_vectors)


def test_the_cache_is_listed_and_cleared(
    run: Run, own: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "another cache"))
    assert run("embed", own[1], "--experts", "magpie") == 0
    assert run("cache", "list") == 0
    assert re.search(r"^ *descriptors +magpie +20 +10560 ", capsys.readouterr().out, flags=re.M)
    assert run("cache", "clear") == 0
    assert "20 embeddings removed" in capsys.readouterr().out
