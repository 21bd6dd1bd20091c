"""Rows on their way to the cache: stored in few large transactions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.pooled_layers import PooledLayers

# Structure keys are as good as random: each crystal of a transaction writes a page of their index anew, so that small
# transactions in a large cache write many times what they store. A kill loses what was computed since the last one.
MAX_BYTES = 16 * 2**20
MAX_SECONDS = 30.0


class WriteBuffer:
    """A cache that is written to when enough has come together, or enough time has passed, and at the end.

    What waits is found as if it were stored. An end by an exception stores it too.

    Args:
        cache: Where rows go; ``None`` to keep none.
    """

    def __init__(self, cache: EmbeddingCache | None) -> None:
        self._cache = cache
        self._forget()

    def get_many(self, space: str, keys: Sequence[bytes]) -> dict[bytes, PooledLayers]:
        """Rows by structure key, see `EmbeddingCache.get_many`."""
        if self._cache is None:
            return {}
        waiting = self._rows.get(space, {})
        stored = self._cache.get_many(space, [key for key in keys if key not in waiting])
        return stored | {key: waiting[key] for key in keys if key in waiting}

    def put_many(self, space: str, rows: Mapping[bytes, PooledLayers], *, cards: Sequence[EncoderCard]) -> None:
        """Keep rows, see `EmbeddingCache.put_many`.

        Args:
            space: The encoder's digest.
            rows: Structure key to pooled layers.
            cards: The experts that read them.
        """
        if self._cache is None:
            return
        if not self._rows:
            self._since = time.monotonic()
        self._rows.setdefault(space, {}).update(rows)
        self._cards[space] = cards
        self._bytes += sum(row.values.nbytes for row in rows.values())
        if self._bytes >= MAX_BYTES or time.monotonic() - self._since >= MAX_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Store what waits, a transaction for each encoder."""
        rows, cards = self._rows, self._cards
        self._forget()
        for space, of_space in rows.items():
            if self._cache is not None:
                readers = [card.reference for card in cards[space]]
                self._cache.put_many(space, of_space, encoder=cards[space][0].encoder, experts=readers)

    def _forget(self) -> None:
        self._rows: dict[str, dict[bytes, PooledLayers]] = {}
        self._cards: dict[str, Sequence[EncoderCard]] = {}
        self._bytes, self._since = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
