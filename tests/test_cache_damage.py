"""A cache that is damaged, locked, full or not to be written."""

import logging
import multiprocessing
import os
import sqlite3
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from toy_cache import SPACE, assert_same, needs_fork, row_of, some_rows, start

from moe_mat.zoo import database
from moe_mat.zoo.cache import EmbeddingCache

# Damage --------------------------------------------------------------------------------------------------------------


def test_rotten_entry_is_a_named_miss_and_is_replaced(tmp_path, caplog):
    items = some_rows(50)
    victim, row = next(iter(items.items()))
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
    file = tmp_path / "layers-1.sqlite3"
    content = bytearray(file.read_bytes())
    content[content.index(row.values.tobytes()) + 1000] ^= 1
    file.write_bytes(content)
    with EmbeddingCache(tmp_path) as cache:
        assert_same(cache.get_many(SPACE, list(items)), {key: items[key] for key in items if key != victim})
        assert victim.hex() in caplog.text
        cache.put_many(SPACE, {victim: row})
        caplog.clear()
        assert_same(cache.get_many(SPACE, list(items)), items)
        assert not caplog.records


@pytest.mark.parametrize(
    "change", ["layout = 2", "layout = 'text'", "layout = 9", "data = 'text'", "checksum = 0", "pass = 2"]
)
def test_no_column_of_an_entry_can_change_unnoticed(tmp_path, caplog, change):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"key": row_of(np.ones(577))})
        cache.put_many("other", {b"another": row_of(np.zeros(577), "conv2")})
    connection = sqlite3.connect(tmp_path / "layers-1.sqlite3")
    connection.execute(f"UPDATE entries SET {change} WHERE pass = 1")
    connection.commit()
    connection.close()
    with EmbeddingCache(tmp_path) as cache:
        assert cache.get_many("other" if "pass" in change else SPACE, [b"key"]) == {}
    assert b"key".hex() in caplog.text


def test_damage_anywhere_gives_no_crash_and_no_wrong_number(tmp_path):
    items = some_rows(300, width=100)
    with EmbeddingCache(tmp_path / "sound") as cache:
        cache.put_many(SPACE, items)
    content = (tmp_path / "sound" / "layers-1.sqlite3").read_bytes()
    rng = np.random.default_rng(0)
    for trial, at in enumerate([0, 20, 90, *rng.integers(0, len(content) - 600, size=40)]):
        folder = tmp_path / str(trial)
        folder.mkdir()
        damaged = content[:at] + rng.bytes(600) + content[at + 600 :]
        (folder / "layers-1.sqlite3").write_bytes(damaged)
        with EmbeddingCache(folder) as cache:
            cache.spaces()
            found = cache.get_many(SPACE, list(items))
            assert_same(found, {key: items[key] for key in found})
            cache.put_many(SPACE, items)
            assert_same(cache.get_many(SPACE, list(items)), items)


@pytest.mark.parametrize("damage", ["text", "cut", "other schema", "folder"])
def test_damaged_file_is_set_aside_and_a_fresh_one_begun(tmp_path, caplog, damage):
    items = some_rows(100)
    file = tmp_path / "layers-1.sqlite3"
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
    if damage == "text":
        file.write_text("<html>403 Forbidden</html>" * 1000)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:100_000])
    elif damage == "other schema":
        connection = sqlite3.connect(file)
        connection.executescript("DROP TABLE entries; CREATE TABLE entries (something TEXT)")
        connection.close()
    else:
        file.unlink()
        file.mkdir()
    with EmbeddingCache(tmp_path) as cache:
        assert cache.get_many(SPACE, list(items)) == {}
        cache.put_many(SPACE, items)
        if damage == "folder":  # nothing of ours to set aside: a warning, and no storing
            assert "cannot be written" in caplog.text
            return
        assert_same(cache.get_many(SPACE, list(items)), items)
        assert "damaged" in caplog.text
        assert str(file) in caplog.text
        assert (tmp_path / "layers-1.sqlite3.damaged").is_file()
        assert (tmp_path / "layers-2.sqlite3").is_file()
        cache.clear()
        assert not (tmp_path / "layers-1.sqlite3.damaged").exists()
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        assert_same(cache.get_many(SPACE, list(items)), items)


class BadReads:
    """Fails as SQLite does on a page that is not what it should be, some times, and then works."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, connection: sqlite3.Connection) -> int:
        self.times -= 1
        if self.times >= 0:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return connection.execute("SELECT count(*) FROM entries").fetchone()[0]


def test_one_bad_read_is_read_again(tmp_path, caplog):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_rows(3))
        assert cache._database.run(BadReads(1), otherwise=-1) == 3
    assert not caplog.records
    assert [path.name for path in tmp_path.iterdir()] == ["layers-1.sqlite3"]


def test_a_file_that_passes_its_check_is_not_renamed(tmp_path, caplog):
    items = some_rows(3)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        assert cache._database.run(BadReads(9), otherwise=-1) == -1
        assert "malformed" in caplog.text
        assert_same(cache.get_many(SPACE, list(items)), items)
    assert [path.name for path in tmp_path.iterdir()] == ["layers-1.sqlite3"]


def test_a_check_that_cannot_be_made_renames_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_rows(3))
        other = sqlite3.connect(tmp_path / "layers-1.sqlite3", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert cache._database.run(BadReads(9), otherwise=-1) == -1
        other.close()
    assert not list(tmp_path.glob("*.damaged"))


def test_folder_deleted_under_an_open_cache(tmp_path):
    folder = tmp_path / "cache"
    cache = EmbeddingCache(folder)
    cache.put_many(SPACE, some_rows(2))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    cache.put_many(SPACE, {b"new": row_of(np.zeros(3))})
    cache.close()
    assert len(cache.get_many(SPACE, [b"new"])) == 1
    cache.close()


# Nothing can be stored -----------------------------------------------------------------------------------------------


def test_unusable_folder_warns_once_and_answers_with_misses(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    with EmbeddingCache(tmp_path / "file" / "cache") as cache:
        for _ in range(3):
            cache.put_many(SPACE, some_rows(1))
            assert cache.get_many(SPACE, [b"a"]) == {}
        assert cache.spaces().empty
        assert cache.clear() == 0
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(tmp_path / "file") in record.message
    assert "MOE_MAT_CACHE" in record.message


def test_full_disk_keeps_what_was_there(tmp_path, caplog):
    items = some_rows(20)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        cache._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall(), otherwise=[])
        cache.put_many("new", some_rows(2000, seed=1))
        assert "disk is full" in caplog.text
        assert_same(cache.get_many(SPACE, list(items)), items)
        assert list(cache.spaces()["space"]) == [SPACE]


def _use_where_no_file_may_grow(folder: Path, results: Connection) -> None:
    import resource  # not everywhere

    resource.setrlimit(resource.RLIMIT_FSIZE, (20 * 1024, resource.RLIM_INFINITY))
    cache, messages = EmbeddingCache(folder), _messages()
    for _ in range(2):
        cache.put_many(SPACE, some_rows(3))
        assert cache.get_many(SPACE, list(some_rows(3))) == {}
    results.send(messages)


@needs_fork
def test_a_disk_that_was_full_from_the_start(tmp_path):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = start(_use_where_no_file_may_grow, tmp_path, sender)
    sender.close()
    assert len(receiver.recv()) == 1
    process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["layers-1.sqlite3"]
    with EmbeddingCache(tmp_path) as cache:  # when there is space again
        cache.put_many(SPACE, some_rows(3))
        assert_same(cache.get_many(SPACE, list(some_rows(3))), some_rows(3))


def _messages() -> list[str]:
    """Warnings from now on."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("moe_mat").addHandler(handler)
    return messages


def _use_as_another_user(folder: Path, results: Connection) -> None:
    if os.geteuid() == 0:  # for whom nothing is read-only
        os.setuid(65534)
    cache, messages = EmbeddingCache(folder), _messages()
    before = len(cache.get_many(SPACE, [b"old"]))
    cache.put_many(SPACE, {b"new": row_of(np.ones(2))})
    results.send((before, sorted(cache.get_many(SPACE, [b"old", b"new"])), messages))


@needs_fork
def test_read_only_folder_is_read():
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, into which no other user can look
        folder = Path(name)
        with EmbeddingCache(folder) as cache:
            cache.put_many(SPACE, {b"old": row_of(np.zeros(2))})
        (folder / "layers-1.sqlite3").chmod(0o444)
        folder.chmod(0o555)
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = start(_use_as_another_user, folder, sender)
        sender.close()
        before, after, messages = receiver.recv()
        process.join()
        folder.chmod(0o755)
    assert before == 1
    assert after == [b"old"]
    assert any("MOE_MAT_CACHE" in message for message in messages)


def test_file_locked_for_too_long(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"old": row_of(np.zeros(2))})
        other = sqlite3.connect(tmp_path / "layers-1.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        cache.put_many(SPACE, {b"new": row_of(np.zeros(2))})
        assert "locked" in caplog.text
        assert len(cache.get_many(SPACE, [b"old", b"new"])) == 1
        other.execute("ROLLBACK")
        other.close()
        cache.put_many(SPACE, {b"new": row_of(np.zeros(2))})
        assert len(cache.get_many(SPACE, [b"old", b"new"])) == 2
