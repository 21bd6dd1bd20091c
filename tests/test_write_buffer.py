"""Rows on their way to the cache: few transactions, nothing lost at an end, and what waits is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toy_cache import SPACE, assert_same, row_of, some_rows
from toy_experts import cgcnn_expert

from moe_mat.zoo import write_buffer
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.pooled_layers import PooledLayers
from moe_mat.zoo.write_buffer import WriteBuffer


@pytest.fixture
def cards(tmp_path: Path) -> list[EncoderCard]:
    return [cgcnn_expert(tmp_path, "toy")]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    with EmbeddingCache(tmp_path / "cache") as cache:
        yield cache


def test_what_waits_is_found_and_stored_at_the_end(cache: EmbeddingCache, cards: list[EncoderCard]) -> None:
    stored, waiting = some_rows(3), some_rows(4, seed=1)
    cache.put_many(SPACE, stored)
    with WriteBuffer(cache) as buffer:
        buffer.put_many(SPACE, waiting, cards=cards)
        assert_same(buffer.get_many(SPACE, [*stored, *waiting, b"unknown"]), stored | waiting)
        assert_same(cache.get_many(SPACE, [*stored, *waiting]), stored)
    assert_same(cache.get_many(SPACE, [*stored, *waiting]), stored | waiting)
    (row,) = cache.spaces().to_dict("records")
    assert (row["encoder"], row["experts"]) == ("cgcnn", str(cards[0].path))


def test_an_end_by_an_exception_stores_too(cache: EmbeddingCache, cards: list[EncoderCard]) -> None:
    rows = some_rows(4)

    def interrupted() -> None:
        with WriteBuffer(cache) as buffer:
            buffer.put_many(SPACE, rows, cards=cards)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_same(cache.get_many(SPACE, list(rows)), rows)


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 10 * 577 * 4), ("MAX_SECONDS", -1.0)])
def test_it_is_stored_when_there_is_much_or_it_is_old(
    limit: str, value: float, cache: EmbeddingCache, cards: list[EncoderCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_buffer, limit, value)
    rows = some_rows(10)
    with WriteBuffer(cache) as buffer:
        buffer.put_many(SPACE, rows, cards=cards)
        assert_same(cache.get_many(SPACE, list(rows)), rows)


def test_many_batches_are_few_transactions(
    cache: EmbeddingCache, cards: list[EncoderCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, sizes = EmbeddingCache.put_many, []

    def counting(self: EmbeddingCache, space: str, rows: dict[bytes, PooledLayers], **named: object) -> None:
        sizes.append(len(rows))
        put(self, space, rows, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbeddingCache, "put_many", counting)
    with WriteBuffer(cache) as buffer:
        for batch in range(300):
            buffer.put_many(SPACE, some_rows(10, seed=batch), cards=cards)
    assert sizes == [3000]


def test_without_a_cache_nothing_is_kept(cards: list[EncoderCard]) -> None:
    with WriteBuffer(None) as buffer:
        buffer.put_many(SPACE, {b"key": row_of([1.0])}, cards=cards)
        assert buffer.get_many(SPACE, [b"key"]) == {}


def _written_to_the_disk() -> int:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["write_bytes"])


def _fill(folder: Path, cards: list[EncoderCard]) -> tuple[int, int]:
    """Bytes stored, and written for it, when 20,000 crystals come in batches of 50."""
    before, rng = _written_to_the_disk(), np.random.default_rng(0)
    with EmbeddingCache(folder) as cache, WriteBuffer(cache) as buffer:
        for _ in range(400):
            keys = [rng.bytes(16) for _ in range(50)]
            for space in ("a", "b", "c"):
                buffer.put_many(space, {key: row_of(np.frombuffer(key * 16, "<f4")) for key in keys}, cards=cards)
    return 20_000 * 3 * 256, _written_to_the_disk() - before


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count what is written")
def test_little_more_is_written_than_is_stored(tmp_path: Path, cards: list[EncoderCard]) -> None:
    # It was 50 times as much when each batch was a transaction of its own and each expert had an index of keys.
    stored, written = _fill(tmp_path / "cache", cards)
    if written == 0:
        pytest.skip("this folder is not on a disk")
    assert written < 4 * stored
