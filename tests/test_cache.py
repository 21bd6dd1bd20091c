"""What the cache stores, and who may use it at once."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import pickle
import re
import signal
import sqlite3
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from toy_cache import SPACE, assert_same, needs_fork, row_of, some_rows, start

from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cache_rows import FIND


def test_arrays_come_back_in_a_new_process_life(tmp_path):
    items = some_rows(1200)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
    with EmbeddingCache(tmp_path) as cache:
        assert_same(cache.get_many(SPACE, [*items, b"unknown", *items]), items)
        assert cache.get_many("another space", list(items)) == {}
        assert cache.get_many(SPACE, []) == {}


def test_values_become_float32(tmp_path):
    values = np.random.default_rng(0).normal(size=7)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"key": row_of(values)})
        found = cache.get_many(SPACE, [b"key"])[b"key"].values
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_second_put_replaces_and_adds_nothing(tmp_path):
    first = some_rows(5)
    second = {key: row_of(row.values + 1) for key, row in first.items()}
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, first, encoder="chgnet", experts=["chgnet", "chgnet_conv1"])
        cache.put_many(SPACE, second, experts=["mine"])
        cache.put_many(SPACE, second)
        assert_same(cache.get_many(SPACE, list(first)), second)
        (row,) = cache.spaces().to_dict("records")
    assert row["entries"] == 5
    assert row["bytes"] == 5 * 577 * 4
    assert row["encoder"] == "chgnet"
    assert row["experts"] == "chgnet, chgnet_conv1, mine"
    assert row["created"].year >= 2024


def test_other_layers_are_added_to_a_row(tmp_path):
    conv1 = some_rows(50)
    conv2 = {key: row_of(row.values[:9] + 1, "conv2") for key, row in conv1.items()}
    both = {key: conv2[key].joined(conv1[key]) for key in conv1}
    with EmbeddingCache(tmp_path) as cache, EmbeddingCache(tmp_path) as other:
        cache.put_many(SPACE, conv1)
        other.put_many(SPACE, conv2)  # knows nothing of the first layer
        assert_same(cache.get_many(SPACE, list(conv1)), both)
        cache.put_many(SPACE, conv2)
        assert_same(cache.get_many(SPACE, list(conv1)), both)
        (row,) = cache.spaces().to_dict("records")
        assert row["entries"] == 50
        assert row["bytes"] == 50 * (577 + 9) * 4


def test_rows_that_grow_leave_no_holes(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        for layer in range(8):
            cache.put_many(SPACE, some_rows(500, width=64, layer=f"conv{layer}"))
        assert cache.spaces()["bytes"][0] == 8 * 500 * 64 * 4
    assert (tmp_path / "layers-1.sqlite3").stat().st_size < 2.5 * 8 * 500 * 64 * 4


def test_clear_one_space_then_all(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many("a", some_rows(3))
        cache.put_many("b", some_rows(2000))
        assert cache.clear("unknown") == 0
        assert cache.clear("a") == 3
        assert list(cache.spaces()["space"]) == ["b"]
        left = cache._database.run(lambda c: c.execute("SELECT count(*) FROM crystals").fetchone()[0], otherwise=0)
        assert left == 2000
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert cache.clear() == 2000
        assert cache.spaces().empty
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < size / 10


def test_number_of_files_does_not_grow_with_the_number_of_entries(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        for number in range(20):
            cache.put_many(f"space {number}", some_rows(100, seed=number, width=64))
    assert [path.name for path in tmp_path.iterdir()] == ["layers-1.sqlite3"]
    content = 20 * 100 * 64 * 4
    assert (tmp_path / "layers-1.sqlite3").stat().st_size < 2 * content


def test_lookup_begins_with_the_keys(tmp_path):
    # With a million rows a scan for each chunk of keys would take minutes.
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_rows(3))
    with sqlite3.connect(tmp_path / "layers-1.sqlite3") as connection:
        query = FIND.replace("...", "x'00', x'01'")
        first, *others = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", (SPACE,))]
        assert re.search(r"crystals USING COVERING INDEX .*\(key=\?\)", first)
        assert any(re.search(r"entries USING INDEX .*\(pass=\? AND crystal=\?\)", other) for other in others)
    connection.close()


def test_hits_and_misses_are_logged(tmp_path, caplog):
    items = some_rows(4)
    with caplog.at_level(logging.INFO, logger="moe_mat.zoo.cache"), EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        cache.get_many(SPACE, [*items, b"a", b"b"])
    assert "4 hits, 2 misses" in caplog.text


def test_default_folder_is_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "chosen"))
    with EmbeddingCache() as cache:
        cache.put_many(SPACE, some_rows(1))
    assert (tmp_path / "chosen" / "layers-1.sqlite3").is_file()


@pytest.mark.parametrize("bad", [["text"], [[1.0], [2.0]]])
def test_a_bad_row_stores_nothing_of_its_batch(tmp_path, bad):
    items = some_rows(3)
    with EmbeddingCache(tmp_path) as cache:
        with pytest.raises(ValueError, match=r"could not convert|columns of its layout"):
            cache.put_many(SPACE, {**items, b"bad": row_of(bad)})
        assert cache.get_many(SPACE, list(items)) == {}


def test_files_of_version_0_1_are_left_alone_until_all_is_cleared(tmp_path):
    old = tmp_path / "embeddings-1.sqlite3"
    old.write_bytes(b"of version 0.1")
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_rows(3))
        assert cache.outdated() == [old]
        cache.clear(SPACE)
        assert old.read_bytes() == b"of version 0.1"
        cache.clear()
        assert not old.exists()


# Several users -------------------------------------------------------------------------------------------------------


def _write_ten_batches(folder: Path, seed: int, together: Barrier) -> None:
    logging.disable()
    cache = EmbeddingCache(folder)
    together.wait()
    for batch in range(10):
        keys = [b"%d/%d/%d" % (seed, batch, i) for i in range(300)]
        cache.put_many("space", {key: row_of(np.full(577, batch)) for key in keys})
        cache.put_many("shared", {b"%d" % i: row_of(np.full(3, i)) for i in range(50)})


@needs_fork
def test_three_writers_begin_at_once(tmp_path):
    together = multiprocessing.get_context("fork").Barrier(3)
    writers = [start(_write_ten_batches, tmp_path, seed, together) for seed in range(3)]
    for writer in writers:
        writer.join(100)
        assert writer.exitcode == 0
    with EmbeddingCache(tmp_path) as cache:
        keys = [b"%d/%d/%d" % (seed, batch, i) for seed in range(3) for batch in range(10) for i in range(300)]
        assert len(cache.get_many("space", keys)) == 9000
        assert_same(cache.get_many("shared", [b"7"]), {b"7": row_of(np.full(3, 7, dtype=np.float32))})
    assert [path.name for path in tmp_path.iterdir()] == ["layers-1.sqlite3"]


def _write_until_killed(folder: Path, seed: int, progress: Connection) -> None:
    cache = EmbeddingCache(folder)
    for batch in itertools.count():
        keys = [b"%d/%d/%d" % (seed, batch, i) for i in range(300)]
        cache.put_many("space", {key: row_of(np.full(577, batch)) for key in keys})
        progress.send(batch)


@needs_fork
def test_killed_writer_leaves_whole_batches(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for seed in range(8):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        writer = start(_write_until_killed, tmp_path, seed, sender)
        sender.close()
        reported = receiver.recv()
        # A writer spends most of its time inside a transaction, so that some of these kills fall into one.
        time.sleep(0.007 * seed)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        with contextlib.suppress(EOFError):
            while True:
                reported = receiver.recv()
        batches = [[b"%d/%d/%d" % (seed, batch, i) for i in range(300)] for batch in range(reported + 3)]
        sizes = [len(cache.get_many("space", keys)) for keys in batches]
        assert set(sizes) == {0, 300}
        assert sizes[: reported + 1] == [300] * (reported + 1)
        cache.put_many("space", {b"after %d" % seed: row_of(np.zeros(3))})
        assert cache.get_many("space", [b"after %d" % seed])
    cache.close()
    assert not list(tmp_path.glob("*.damaged"))


def _read_and_write(cache: EmbeddingCache, key: bytes) -> int:
    cache.put_many(SPACE, {key: row_of(np.zeros(4))})
    return len(cache.get_many(SPACE, [key, b"parent"]))


@needs_fork
def test_a_cache_in_use_goes_to_other_processes(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put_many(SPACE, {b"parent": row_of(np.ones(4))})
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(_read_and_write, [cache] * 8, [b"%d" % i for i in range(8)])) == [2] * 8
    assert len(cache.get_many(SPACE, [b"%d" % i for i in range(8)])) == 8
    cache.close()


@needs_fork
def test_fork_while_another_thread_is_writing(tmp_path):
    cache = EmbeddingCache(tmp_path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            cache.put_many(SPACE, some_rows(50))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if _read_and_write(cache, b"%d" % number) == 1 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
    assert len(cache.get_many(SPACE, [b"%d" % number for number in range(5)])) == 5
    cache.close()


def test_pickle_carries_the_folder_only(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_rows(1))
        copy = pickle.loads(pickle.dumps(cache))
        assert copy.folder == tmp_path
        assert len(copy.spaces()) == 1
        copy.close()


def test_open_again_after_close(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put_many(SPACE, {b"a": row_of(np.zeros(2))})
    cache.close()
    cache.close()
    assert len(cache.get_many(SPACE, [b"a"])) == 1
    cache.close()
