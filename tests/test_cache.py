import logging
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from moe_mat import database
from moe_mat.cache import EmbeddingCache

SPACE = "5eed" * 8


def some_arrays(n: int, *, seed: int = 0, width: int = 577) -> dict[bytes, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {rng.bytes(16): rng.normal(size=width).astype(np.float32) for _ in range(n)}


def assert_same(found: dict[bytes, np.ndarray], expected: dict[bytes, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


def test_arrays_come_back_in_a_new_process_life(tmp_path):
    items = some_arrays(1200)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
    with EmbeddingCache(tmp_path) as cache:
        assert_same(cache.get_many(SPACE, [*items, b"unknown", *items]), items)
        assert cache.get_many("another space", list(items)) == {}
        assert cache.get_many(SPACE, []) == {}


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 64), (2, 1, 5)])
def test_shape_is_kept_and_values_become_float32(tmp_path, shape):
    array = np.random.default_rng(0).normal(size=shape)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"key": array})
        found = cache.get_many(SPACE, [b"key"])[b"key"]
    assert found.shape == shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array.astype(np.float32))
    found += 1  # the caller's own copy


def test_second_put_replaces_and_adds_nothing(tmp_path):
    first, second = some_arrays(5), {}
    second = {key: array + 1 for key, array in first.items()}
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, first, description={"expert": "chgnet"})
        cache.put_many(SPACE, second)
        assert_same(cache.get_many(SPACE, list(first)), second)
        (row,) = cache.spaces().to_dict("records")
    assert row["entries"] == 5
    assert row["bytes"] == 5 * 577 * 4
    assert row["description"] == "expert: chgnet"
    assert row["created"].year >= 2024


def test_clear_one_space_then_all(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many("a", some_arrays(3))
        cache.put_many("b", some_arrays(2000))
        assert cache.clear("unknown") == 0
        assert cache.clear("a") == 3
        assert list(cache.spaces()["space"]) == ["b"]
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert cache.clear() == 2000
        assert cache.spaces().empty
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < size / 10


def test_number_of_files_does_not_grow_with_the_number_of_entries(tmp_path):
    with EmbeddingCache(tmp_path) as cache:
        for number in range(20):
            cache.put_many(f"space {number}", some_arrays(100, seed=number, width=64))
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings-1.sqlite3"]
    content = 20 * 100 * 64 * 4
    assert (tmp_path / "embeddings-1.sqlite3").stat().st_size < 2 * content


def test_lookup_uses_the_index(tmp_path):
    # With a million rows a scan for each chunk of keys would take minutes.
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, some_arrays(3))
    with sqlite3.connect(tmp_path / "embeddings-1.sqlite3") as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT data FROM entries WHERE space = 1 AND key IN (x'00', x'01')"
        )
        assert "USING INDEX" in str(plan.fetchall())
    connection.close()


def test_hits_and_misses_are_logged(tmp_path, caplog):
    items = some_arrays(4)
    with caplog.at_level(logging.INFO, logger="moe_mat.cache"), EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        cache.get_many(SPACE, [*items, b"a", b"b"])
    assert "4 hits, 2 misses" in caplog.text


def test_default_folder_is_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "chosen"))
    with EmbeddingCache() as cache:
        cache.put_many(SPACE, some_arrays(1))
    assert (tmp_path / "chosen" / "embeddings-1.sqlite3").is_file()


def test_array_of_the_wrong_type_stores_nothing_of_its_batch(tmp_path):
    items = some_arrays(3)
    with EmbeddingCache(tmp_path) as cache:
        with pytest.raises(ValueError, match="could not convert"):
            cache.put_many(SPACE, {**items, b"bad": np.array(["text"])})
        assert cache.get_many(SPACE, list(items)) == {}


# Several users -------------------------------------------------------------------------------------------------------


WRITER = textwrap.dedent("""
    import sys, numpy as np
    from pathlib import Path
    from moe_mat.cache import EmbeddingCache
    cache = EmbeddingCache(Path(sys.argv[1]))
    seed = int(sys.argv[2])
    for batch in range(int(sys.argv[3])):
        keys = [b"%d/%d/%d" % (seed, batch, i) for i in range(300)]
        cache.put_many("space", {key: np.full(577, batch) for key in keys})
        cache.put_many("shared", {b"%d" % i: np.full(3, i) for i in range(50)})
        print(batch, flush=True)
""")


def start_writer(folder: Path, seed: int, batches: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(folder), str(seed), str(batches)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_writer_processes_begin_at_once(tmp_path):
    writers = [start_writer(tmp_path, seed, 10) for seed in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=100)
        assert writer.returncode == 0, errors
        assert errors == ""
    with EmbeddingCache(tmp_path) as cache:
        keys = [b"%d/%d/%d" % (seed, batch, i) for seed in range(2) for batch in range(10) for i in range(300)]
        assert len(cache.get_many("space", keys)) == 6000
        assert_same(cache.get_many("shared", [b"7"]), {b"7": np.full(3, 7, dtype=np.float32)})


def test_killed_writer_leaves_whole_batches(tmp_path):
    writer = start_writer(tmp_path, 0, 100_000)
    assert writer.stdout is not None
    while int(writer.stdout.readline()) < 2:
        pass
    # Most of a writer's time is spent inside a transaction, so that some of these kills fall into one.
    with EmbeddingCache(tmp_path) as cache:
        for round_number in range(1, 6):
            time.sleep(0.013 * round_number)
            writer.send_signal(signal.SIGKILL)
            lines = writer.communicate()[0].split()
            reported = int(lines[-1]) if lines else 0
            seed = round_number - 1
            sizes = [
                len(cache.get_many("space", [b"%d/%d/%d" % (seed, batch, i) for i in range(300)]))
                for batch in range(reported + 3)
            ]
            assert set(sizes) <= {0, 300}
            assert sizes[: reported + 1] == [300] * (reported + 1)
            writer = start_writer(tmp_path, round_number, 100_000)
            assert writer.stdout is not None
            writer.stdout.readline()
        writer.kill()
        writer.communicate()
        cache.put_many("space", {b"after": np.zeros(3)})
        assert cache.get_many("space", [b"after"])
    assert not list(tmp_path.glob("*.damaged"))


def _read_and_write(cache: EmbeddingCache, key: bytes) -> int:
    cache.put_many(SPACE, {key: np.zeros(4)})
    return len(cache.get_many(SPACE, [key, b"parent"]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_cache_in_use_goes_to_other_processes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform cannot {method}")
    cache = EmbeddingCache(tmp_path)
    cache.put_many(SPACE, {b"parent": np.ones(4)})
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_read_and_write, [(cache, b"%d" % i) for i in range(8)]) == [2] * 8
    assert len(cache.get_many(SPACE, [b"%d" % i for i in range(8)])) == 8
    cache.close()


def test_fork_while_another_thread_is_writing(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("this platform cannot fork")
    cache = EmbeddingCache(tmp_path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            cache.put_many(SPACE, some_arrays(50))

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
        cache.put_many(SPACE, some_arrays(1))
        copy = pickle.loads(pickle.dumps(cache))
        assert copy.folder == tmp_path
        assert len(copy.spaces()) == 1
        copy.close()


def test_open_again_after_close(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put_many(SPACE, {b"a": np.zeros(2)})
    cache.close()
    cache.close()
    assert len(cache.get_many(SPACE, [b"a"])) == 1
    cache.close()


# Damage --------------------------------------------------------------------------------------------------------------


def test_rotten_entry_is_a_named_miss_and_is_replaced(tmp_path, caplog):
    items = some_arrays(50)
    victim, array = next(iter(items.items()))
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
    file = tmp_path / "embeddings-1.sqlite3"
    content = bytearray(file.read_bytes())
    content[content.index(array.tobytes()) + 1000] ^= 1
    file.write_bytes(content)
    with EmbeddingCache(tmp_path) as cache:
        assert_same(cache.get_many(SPACE, list(items)), {key: items[key] for key in items if key != victim})
        assert victim.hex() in caplog.text
        cache.put_many(SPACE, {victim: array})
        caplog.clear()
        assert_same(cache.get_many(SPACE, list(items)), items)
        assert not caplog.records


@pytest.mark.parametrize("change", ["shape = '577,1'", "data = 'text'", "checksum = 0", "shape = 3", "space = 2"])
def test_no_column_of_an_entry_can_change_unnoticed(tmp_path, caplog, change):
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"key": np.ones(577)})
        cache.put_many("other", {b"another": np.zeros(577)})
    connection = sqlite3.connect(tmp_path / "embeddings-1.sqlite3")
    connection.execute(f"UPDATE entries SET {change} WHERE key = ?", (b"key",))
    connection.commit()
    connection.close()
    with EmbeddingCache(tmp_path) as cache:
        assert cache.get_many("other" if "space" in change else SPACE, [b"key"]) == {}
    assert b"key".hex() in caplog.text


def test_damage_anywhere_gives_no_crash_and_no_wrong_number(tmp_path):
    items = some_arrays(300, width=100)
    with EmbeddingCache(tmp_path / "sound") as cache:
        cache.put_many(SPACE, items)
    content = (tmp_path / "sound" / "embeddings-1.sqlite3").read_bytes()
    rng = np.random.default_rng(0)
    for trial, start in enumerate([0, 20, 90, *rng.integers(0, len(content) - 600, size=40)]):
        folder = tmp_path / str(trial)
        folder.mkdir()
        damaged = content[:start] + rng.bytes(600) + content[start + 600 :]
        (folder / "embeddings-1.sqlite3").write_bytes(damaged)
        with EmbeddingCache(folder) as cache:
            cache.spaces()
            for key, array in cache.get_many(SPACE, list(items)).items():
                np.testing.assert_array_equal(array, items[key])
            cache.put_many(SPACE, items)
            assert_same(cache.get_many(SPACE, list(items)), items)


@pytest.mark.parametrize("damage", ["text", "cut", "other schema", "folder"])
def test_damaged_file_is_set_aside_and_a_fresh_one_begun(tmp_path, caplog, damage):
    items = some_arrays(100)
    file = tmp_path / "embeddings-1.sqlite3"
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
        assert (tmp_path / "embeddings-1.sqlite3.damaged").is_file()
        assert (tmp_path / "embeddings-2.sqlite3").is_file()
        cache.clear()
        assert not (tmp_path / "embeddings-1.sqlite3.damaged").exists()
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        assert_same(cache.get_many(SPACE, list(items)), items)


def test_folder_deleted_under_an_open_cache(tmp_path):
    folder = tmp_path / "cache"
    cache = EmbeddingCache(folder)
    cache.put_many(SPACE, some_arrays(2))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    cache.put_many(SPACE, {b"new": np.zeros(3)})
    cache.close()
    assert len(cache.get_many(SPACE, [b"new"])) == 1
    cache.close()


# Nothing can be stored -----------------------------------------------------------------------------------------------


def test_unusable_folder_warns_once_and_answers_with_misses(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    with EmbeddingCache(tmp_path / "file" / "cache") as cache:
        for _ in range(3):
            cache.put_many(SPACE, some_arrays(1))
            assert cache.get_many(SPACE, [b"a"]) == {}
        assert cache.spaces().empty
        assert cache.clear() == 0
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(tmp_path / "file") in record.message
    assert "MOE_MAT_CACHE" in record.message


def test_full_disk_keeps_what_was_there(tmp_path, caplog):
    items = some_arrays(20)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, items)
        cache._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall(), otherwise=[])
        cache.put_many("new", some_arrays(2000, seed=1))
        assert "disk is full" in caplog.text
        assert_same(cache.get_many(SPACE, list(items)), items)
        assert list(cache.spaces()["space"]) == [SPACE]


READ_ONLY_USER = textwrap.dedent("""
    import logging, os, sys, numpy as np
    from pathlib import Path
    from moe_mat.cache import EmbeddingCache
    if os.geteuid() == 0:
        os.setuid(65534)
    logging.basicConfig(format="%(message)s")
    cache = EmbeddingCache(Path(sys.argv[1]))
    print(len(cache.get_many("space", [b"old"])))
    cache.put_many("space", {b"new": np.ones(2)})
    print(len(cache.get_many("space", [b"new"])), len(cache.get_many("space", [b"old"])))
""")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file permissions of POSIX")
def test_read_only_folder_is_read(tmp_path):
    folder = tmp_path / "cache"
    with EmbeddingCache(folder) as cache:
        cache.put_many("space", {b"old": np.zeros(2)})
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o555)
    (folder / "embeddings-1.sqlite3").chmod(0o444)
    folder.chmod(0o555)
    try:
        result = subprocess.run(
            [sys.executable, "-c", READ_ONLY_USER, str(folder)], capture_output=True, text=True, timeout=100
        )
    finally:
        folder.chmod(0o755)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["1", "0", "1"]
    assert "MOE_MAT_CACHE" in result.stderr
    assert "Traceback" not in result.stderr


def test_file_locked_for_too_long(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    with EmbeddingCache(tmp_path) as cache:
        cache.put_many(SPACE, {b"old": np.zeros(2)})
        other = sqlite3.connect(tmp_path / "embeddings-1.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        cache.put_many(SPACE, {b"new": np.zeros(2)})
        assert "locked" in caplog.text
        assert len(cache.get_many(SPACE, [b"old", b"new"])) == 1
        other.execute("ROLLBACK")
        other.close()
        cache.put_many(SPACE, {b"new": np.zeros(2)})
        assert len(cache.get_many(SPACE, [b"old", b"new"])) == 2
