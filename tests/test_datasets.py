import gzip
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from moe_mat.crystals import datasets
from moe_mat.crystals.datasets import (
    FetchError,
    fetch_matminer,
    figshare_api_link,
    list_matminer,
    load_matminer,
    load_quickstart,
)

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])


def as_stored(table: dict[str, list[Any]]) -> bytes:
    """A data set as matminer stores it: a DataFrame split by pandas, structures as monty dicts, gzip."""
    rows = list(zip(*table.values(), strict=True))
    content = {"index": list(range(len(rows))), "columns": list(table), "data": rows}
    return gzip.compress(json.dumps(content, default=lambda value: value.as_dict()).encode())


CONTENT = as_stored({"formula": ["NaCl", "C"], "gap": [5.0, None], "structure": [SALT, DIAMOND]})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers each request with the next of `replies`, and the last one from then on."""

    def __init__(self) -> None:
        self.replies: list[Any] = [200]
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                status, content, length = 200, CONTENT, len(CONTENT)
                if isinstance(reply, int):
                    status = reply
                    content = content if status == 200 else b"<html>no</html>"
                    length = len(content)
                elif reply == "html":
                    content = b"<html>please prove that you are human</html>"
                    length = len(content)
                elif reply == "cut":
                    content = content[: len(content) // 2]
                elif reply == "slow":
                    time.sleep(0.6)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that do not wait
        self.url = f"http://127.0.0.1:{self.http.server_port}/toy.json.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(datasets, "BACKOFF_SECONDS", 0.0)
    server = Server()
    yield server
    server.stop()


def fetch(server: Server, folder, **changes: Any):
    return fetch_matminer(
        "toy", **{"url": server.url, "sha256": SHA256, "cache_dir": folder, "timeout": 5.0, **changes}
    )


def only_file(folder) -> str:
    (path,) = folder.iterdir()
    return path.name


def test_file_is_fetched_once_and_then_needs_no_network(server, tmp_path):
    path = fetch(server, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert only_file(path.parent) == "toy.json.gz"
    assert len(server.requests) == 1
    server.stop()
    assert fetch(server, path.parent) == path


def test_forbidden_is_final_and_leaves_nothing(server, tmp_path):
    server.replies = [403]
    with pytest.raises(FetchError) as caught:
        fetch(server, tmp_path)
    message = str(caught.value)
    assert "'toy'" in message
    assert server.url in message
    assert "403" in message
    assert str(tmp_path / "toy.json.gz") in message
    assert SHA256 in message
    assert len(server.requests) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("passing", [500, 503, 429, "cut", "slow"])
def test_passing_failure_is_tried_again(server, tmp_path, passing):
    server.replies = [passing, passing, 200]
    assert fetch(server, tmp_path, timeout=0.2).read_bytes() == CONTENT
    assert len(server.requests) == 3
    assert only_file(tmp_path) == "toy.json.gz"


@pytest.mark.parametrize(("lasting", "word"), [("cut", "bytes"), ("slow", "timed out"), (502, "502")])
def test_retries_end_with_the_cause(server, tmp_path, lasting, word):
    server.replies = [lasting]
    with pytest.raises(FetchError, match=word):
        fetch(server, tmp_path, timeout=0.2, retries=2)
    assert len(server.requests) == 3
    assert not list(tmp_path.iterdir())


def test_wrong_content_with_status_200_is_refused(server, tmp_path):
    server.replies = ["html"]
    with pytest.raises(FetchError, match="hash"):
        fetch(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_rotten_file_is_fetched_again(server, tmp_path, caplog):
    path = fetch(server, tmp_path)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert str(path) in caplog.text


def test_rotten_file_offline_is_an_error_that_says_so(server, tmp_path):
    path = fetch(server, tmp_path)
    path.write_bytes(b"<html>403</html>")
    server.stop()
    with pytest.raises(FetchError, match="does not have this checksum") as caught:
        fetch(server, tmp_path, retries=1)
    assert str(path) in str(caught.value)


def test_file_put_there_by_hand_is_used(server, tmp_path):
    server.replies = [403]
    (tmp_path / "toy.json.gz").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="MOE_MAT_CACHE"):
        fetch(server, tmp_path / "file")


def test_waits_grow(server, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(datasets, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(datasets.time, "sleep", waits.append)
    server.replies = [500]
    with pytest.raises(FetchError):
        fetch(server, tmp_path)
    assert waits == [1, 2, 4]


def test_nothing_is_fetched_without_a_checksum(server, tmp_path):
    with pytest.raises(ValueError, match="no matminer data set 'toy'"):
        fetch(server, tmp_path, sha256=None)
    assert server.requests == []


# matminer's list -----------------------------------------------------------------------------------------------------


def test_figshare_links_take_the_form_of_the_api():
    api = "https://api.figshare.com/v2/file/download/13376504"
    assert figshare_api_link("https://ndownloader.figshare.com/files/13376504") == api
    assert figshare_api_link("https://figshare.com/ndownloader/files/13376504") == api
    assert figshare_api_link("https://www.figshare.com/ndownloader/files/13376504/") == api
    other = "https://ml.materialsproject.org/projects/matbench_phonons.json.gz"
    assert figshare_api_link(other) == other
    # Every figshare address that matminer names has one of these forms.
    links = [figshare_api_link(entry["url"]) for entry in datasets._metadata().values()]
    assert not [link for link in links if "figshare" in link and not link.startswith("https://api.")]


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


BROKEN = {"html": b"<html>403</html>", "other json": gzip.compress(b'{"a": 1}'), "cut": CONTENT[:100]}


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
