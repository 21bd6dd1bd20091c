"""Data sets of matminer, and the quickstart's."""

import gzip
import json
import logging
from collections.abc import Iterator

import pandas as pd
import pytest
from toy_server import CONTENT, DIAMOND, SALT, SHA256, Server, as_stored, fetch

from moe_mat.crystals import datasets
from moe_mat.crystals.datasets import (
    FetchError,
    fetch_matminer,
    list_matminer,
    load_matminer,
    load_quickstart,
)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(datasets, "BACKOFF_SECONDS", 0.0)
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def toy_in_matminer(server, tmp_path, monkeypatch):
    """The toy data set as one of matminer's, served at a figshare-like pair of addresses."""
    entry = {
        "url": f"{server.url}?page",
        "hash": SHA256,
        "file_type": "json.gz",
        "num_entries": 2,
        "columns": {"formula": "", "gap": "", "structure": ""},
        "description": "two crystals",
    }
    without = {**entry, "columns": {"formula": "", "gap": ""}}
    monkeypatch.setattr(datasets, "_metadata", lambda: {"toy_crystals": entry, "toy_formulas": without})
    monkeypatch.setattr(datasets, "figshare_api_link", lambda url: url.replace("?page", "?api"))
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path))
    return server


def test_data_set_of_matminer_is_loaded_with_structures(toy_in_matminer, tmp_path):
    table = load_matminer("toy_crystals")
    assert list(table.columns) == ["formula", "gap", "structure"]
    assert list(table["structure"]) == [SALT, DIAMOND]
    assert table["gap"].isna().tolist() == [False, True]
    assert (tmp_path / "datasets" / "toy_crystals.json.gz").is_file()
    assert toy_in_matminer.requests == ["/toy.json.gz?api"]


def test_page_is_asked_where_the_api_refuses(toy_in_matminer):
    toy_in_matminer.replies = [403, 200]
    assert len(load_matminer("toy_crystals")) == 2
    assert toy_in_matminer.requests == ["/toy.json.gz?api", "/toy.json.gz?page"]


def test_both_addresses_are_named_where_both_refuse(toy_in_matminer):
    toy_in_matminer.replies = [404, 403]
    with pytest.raises(FetchError) as caught:
        load_matminer("toy_crystals")
    assert "?api: 404" in str(caught.value)
    assert "?page: 403" in str(caught.value)


def test_data_set_without_structures(toy_in_matminer):
    with pytest.raises(ValueError, match=r"no structures.*formula, gap.*toy_crystals"):
        load_matminer("toy_formulas")
    assert len(load_matminer("toy_formulas", require_structures=False)) == 2


def test_unknown_name_shows_close_ones():
    with pytest.raises(ValueError, match="jarvis_dft_2d"):
        load_matminer("jarvis_2d")
    with pytest.raises(ValueError, match="moe-mat data list"):
        fetch_matminer("qqqq")


def test_list_has_the_data_sets_with_structures():
    table = list_matminer().set_index("dataset")
    assert table.loc["jarvis_dft_2d", "rows"] == 636
    assert "exfoliation_en" in table.loc["jarvis_dft_2d", "columns"]
    assert "expt_gap_kingsbury" not in table.index


def test_a_file_may_not_name_the_class_to_be_made(tmp_path):
    hostile = {"@module": "subprocess", "@class": "Popen", "args": ["touch", str(tmp_path / "made")]}
    path = tmp_path / "hostile.json.gz"
    path.write_bytes(as_stored({"other": [hostile], "structure": [hostile]}))
    with pytest.raises(ValueError, match=r"hostile\.json\.gz, row 0"):
        datasets.read_matminer(path)
    path.write_bytes(as_stored({"other": [hostile], "structure": [SALT]}))
    assert datasets.read_matminer(path)["other"][0] == hostile
    assert not (tmp_path / "made").exists()


BROKEN = {"html": b"<html>403</html>", "other json": gzip.compress(b'{"a": 1}', mtime=0), "cut": CONTENT[:100]}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_file_that_is_no_data_set_is_named(tmp_path, content):
    path = tmp_path / "broken.json.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json\.gz is not a matminer data set"):
        datasets.read_matminer(path)


def test_csv_with_structures_as_json(tmp_path):
    path = tmp_path / "toy.csv"
    pd.DataFrame({"gap": [5.0], "structure": [json.dumps(SALT.as_dict())]}).to_csv(path, index=False)
    assert datasets.read_matminer(path)["structure"][0] == SALT


def test_download_is_logged_with_its_address(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="moe_mat.crystals.datasets"):
        fetch(server, tmp_path)
    assert server.url in caplog.text


# The quickstart ------------------------------------------------------------------------------------------------------


def test_quickstart_has_the_measured_bulk_moduli():
    structures, table = load_quickstart()
    assert len(structures) == len(table) == 58
    assert list(table.columns) == ["material_id", "bulk_modulus"]
    assert [structure.composition.elements[0].symbol for structure in structures] == list(table["material_id"])
    moduli = table.set_index("material_id")["bulk_modulus"]
    # Handbook values in GPa, within what the correction to 0 K and the removal of zero-point motion change.
    for element, handbook in {"Al": 76, "Cu": 140, "Fe": 170, "W": 310, "Na": 6.3, "Si": 98}.items():
        assert moduli[element] == pytest.approx(handbook, rel=0.3)
    assert moduli.notna().all()


def test_quickstart_lists_what_it_leaves_out():
    left_out = load_quickstart()[1].attrs["left_out"]
    assert " ".join(problem["material_id"] for problem in left_out) == "H He Be B N O F Ga Tc Lu Hg Po Rn"
    assert set(left_out[0]) == {"source", "material_id", "column", "reason"}
    assert {problem["column"] for problem in left_out} == {"bulk_modulus"}
