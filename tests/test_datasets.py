"""Downloads: each failure of a server, and files that rot."""

from collections.abc import Iterator

import pytest
from toy_server import CONTENT, SHA256, Server, fetch, only_file

from moe_mat.crystals import datasets
from moe_mat.crystals.datasets import (
    FetchError,
    figshare_api_link,
)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(datasets, "BACKOFF_SECONDS", 0.0)
    server = Server()
    yield server
    server.stop()


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
