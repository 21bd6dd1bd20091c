"""The tables of the embedding cache, and how its rows are found, checked and stored."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from moe_mat.zoo.pooled_layers import Block, Layout, PooledLayers, layout_of

KEYS_PER_QUERY = 500

# Structure keys are as good as random, and an index of random keys is written all over by each transaction. So they
# are indexed once, for all encoders, and everything else is in the order in which crystals were first seen.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS passes "
    "(id INTEGER PRIMARY KEY, space TEXT NOT NULL UNIQUE, encoder TEXT, created TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS readers (pass INTEGER NOT NULL, expert TEXT NOT NULL, UNIQUE (pass, expert))",
    "CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, blocks TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS crystals (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS entries "
    "(pass INTEGER NOT NULL, crystal INTEGER NOT NULL, layout INTEGER NOT NULL, checksum BLOB NOT NULL, "
    "data BLOB NOT NULL, UNIQUE (pass, crystal))",
)
# "CROSS" has SQLite begin with the keys; it would rather read through all entries of the pass.
FIND = (
    "SELECT key, blocks, checksum, data FROM crystals "
    "CROSS JOIN entries ON pass = (SELECT id FROM passes WHERE space = ?) AND crystal = crystals.id "
    "LEFT JOIN layouts ON layouts.id = layout WHERE key IN (...)"
)


def find_rows(
    connection: sqlite3.Connection, space: str, keys: Sequence[bytes]
) -> tuple[dict[bytes, PooledLayers], list[str]]:
    """Rows of a space.

    Returns:
        The sound ones by key, and names of those that are not what was written.
    """
    found: dict[bytes, PooledLayers] = {}
    damaged: list[str] = []
    for start in range(0, len(keys), KEYS_PER_QUERY):
        chunk = keys[start : start + KEYS_PER_QUERY]
        query = FIND.replace("...", ",".join("?" * len(chunk)))
        for key, text, checksum, data in connection.execute(query, (space, *chunk)):
            row = _decode(space, key, text, checksum, data)
            if row is None:
                damaged.append(key.hex() if isinstance(key, bytes) else repr(key))
            else:
                found[key] = row
    return found, damaged


def put_rows(
    connection: sqlite3.Connection,
    space: str,
    rows: Mapping[bytes, PooledLayers],
    *,
    encoder: str | None,
    experts: Iterable[str],
) -> None:
    """Store rows, inside a transaction. Layers that a row has already are replaced, and its other layers are kept."""
    connection.execute(
        "INSERT INTO passes (space, encoder, created) VALUES (?, ?, ?) "
        "ON CONFLICT (space) DO UPDATE SET encoder = coalesce(excluded.encoder, encoder)",
        (space, encoder, datetime.now(UTC).isoformat(timespec="seconds")),
    )
    (number,) = connection.execute("SELECT id FROM passes WHERE space = ?", (space,)).fetchone()
    connection.executemany("INSERT OR IGNORE INTO readers VALUES (?, ?)", ((number, expert) for expert in experts))
    stored, _ = find_rows(connection, space, list(rows))
    joined = {key: row.joined(stored[key]) if key in stored else row for key, row in rows.items()}
    texts = {row.layout: _text(row.layout) for row in joined.values()}
    connection.executemany("INSERT OR IGNORE INTO layouts (blocks) VALUES (?)", ((text,) for text in texts.values()))
    connection.executemany("INSERT OR IGNORE INTO crystals (key) VALUES (?)", ((key,) for key in joined))
    connection.executemany(
        "INSERT OR REPLACE INTO entries (pass, crystal, layout, checksum, data) VALUES "
        "(?, (SELECT id FROM crystals WHERE key = ?), (SELECT id FROM layouts WHERE blocks = ?), ?, ?)",
        (
            (number, key, texts[row.layout], *_encode(space, key, texts[row.layout], row))
            for key, row in joined.items()
            if key not in stored or not _same(row, stored[key])
        ),
    )


def _same(row: PooledLayers, stored: PooledLayers) -> bool:
    return row.layout is stored.layout and row.values.tobytes() == stored.values.tobytes()


def _text(layout: Layout) -> str:
    return json.dumps(layout.blocks, separators=(",", ":"))


@lru_cache(maxsize=4096)
def _layout(text: str) -> Layout:
    return layout_of(tuple(Block(*block) for block in json.loads(text)))


def _encode(space: str, key: bytes, text: str, row: PooledLayers) -> tuple[bytes, bytes]:
    values = np.asarray(row.values, dtype="<f4", order="C")
    if values.shape != (row.layout.width,):
        raise ValueError(f"a row of shape {values.shape} does not have the {row.layout.width} columns of its layout")
    data = values.tobytes()
    return _checksum(space, key, text, data), data


def _decode(space: str, key: object, text: object, checksum: object, data: object) -> PooledLayers | None:
    """The row, or None where it is not what was written (types included: a SQLite column holds any)."""
    if not (isinstance(key, bytes) and isinstance(text, str) and isinstance(data, bytes)):
        return None
    if _checksum(space, key, text, data) != checksum:
        return None
    return PooledLayers(_layout(text), np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False))


def _checksum(space: str, key: bytes, text: str, data: bytes) -> bytes:
    digest = _begun(space, text).copy()
    digest.update(key)
    digest.update(data)
    return digest.digest()


@lru_cache(maxsize=4096)
def _begun(space: str, text: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{space}|{text}|".encode(), digest_size=8)
