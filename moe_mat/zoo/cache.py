"""Embeddings on disk, in one SQLite file.

An entry is found by its *space* (which expert, graph settings and code made it) and its *key* (which structure it
belongs to). Several processes of one machine may share the file; on a network file system that several machines write
to they may not, because SQLite's log needs shared memory.
"""

import contextlib
import hashlib
import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from moe_mat.files.folders import cache_folder
from moe_mat.zoo.database import CacheDatabase, transaction

logger = logging.getLogger(__name__)

KEYS_PER_QUERY = 500
NAMED_IN_WARNING = 20

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS spaces "
    "(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT, created TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS entries "
    "(space INTEGER NOT NULL, key BLOB NOT NULL, shape TEXT NOT NULL, checksum BLOB NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (space, key))",
)


class EmbeddingCache:
    """Float32 arrays under (space, structure key), safe with several writers and after a kill.

    Every `put_many` is one transaction: a killed writer leaves all of it or nothing. Every entry carries a checksum: a
    rotten one is a miss, named in a warning, and replaced by the next `put_many`. A damaged file is set aside with a
    warning and a fresh one is begun. Where nothing can be stored (read-only folder, full disk) a warning says so and
    the cache answers with misses. It can be pickled, forked and shared by threads: each process has its own connection.

    Args:
        path: the cache's folder; by default ``MOE_MAT_CACHE`` or the platform's user cache folder.

    Example:
        >>> import tempfile, numpy as np
        >>> with EmbeddingCache(Path(tempfile.mkdtemp())) as cache:
        ...     cache.put_many("5eed", {b"NaCl": np.ones(3)}, description={"expert": "toy"})
        ...     cache.get_many("5eed", [b"NaCl", b"KCl"])
        {b'NaCl': array([1., 1., 1.], dtype=float32)}
    """

    def __init__(self, path: Path | None = None) -> None:
        self.folder = cache_folder() if path is None else Path(path)
        self._database = CacheDatabase(self.folder, stem="embeddings", schema=SCHEMA)

    def get_many(self, space: str, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """The stored arrays of a space.

        Args:
            space: hex digest of what makes the embeddings: expert checksum, graph settings, code version.
            keys: structure keys; repeated ones are looked up once.

        Returns:
            key -> float32 array, in the shape it was stored in, for the keys that are there and sound.
        """
        wanted = list(dict.fromkeys(keys))

        def read(connection: sqlite3.Connection) -> list[tuple[bytes, np.ndarray | None]]:
            rows: list[tuple[bytes, np.ndarray | None]] = []
            for start in range(0, len(wanted), KEYS_PER_QUERY):
                chunk = wanted[start : start + KEYS_PER_QUERY]
                query = (
                    "SELECT key, shape, checksum, data FROM entries "
                    "WHERE space = (SELECT id FROM spaces WHERE name = ?) "
                    f"AND key IN ({','.join('?' * len(chunk))})"
                )
                rows += [(row[0], _decode(space, *row)) for row in connection.execute(query, (space, *chunk))]
            return rows

        rows: list[tuple[bytes, np.ndarray | None]] = self._database.run(read, otherwise=[])
        found = {key: array for key, array in rows if array is not None}
        if damaged := [_name(key) for key, array in rows if array is None]:
            more = f" and {len(damaged) - NAMED_IN_WARNING} more" if len(damaged) > NAMED_IN_WARNING else ""
            logger.warning(
                "Embedding cache %s, space %s: %d entries do not match their checksums and are computed anew: %s%s",
                self.folder,
                space,
                len(damaged),
                ", ".join(damaged[:NAMED_IN_WARNING]),
                more,
            )
        logger.info("Embedding cache, space %s: %d hits, %d misses", space, len(found), len(wanted) - len(found))
        return found

    def put_many(
        self, space: str, items: Mapping[bytes, np.ndarray], *, description: Mapping[str, str] | None = None
    ) -> None:
        """Store arrays in one transaction; a key that is there already is replaced.

        Args:
            space: as in `get_many`.
            items: structure key -> array of any small shape, stored as float32.
            description: plain text about the space (expert, settings, version), shown by `spaces`.
        """
        if not items:
            return
        text = None if description is None else json.dumps(dict(description))

        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(
                    "INSERT INTO spaces (name, description, created) VALUES (?, ?, ?) ON CONFLICT (name) "
                    "DO UPDATE SET description = coalesce(excluded.description, description)",
                    (space, text, datetime.now(UTC).isoformat(timespec="seconds")),
                )
                (number,) = connection.execute("SELECT id FROM spaces WHERE name = ?", (space,)).fetchone()
                connection.executemany(
                    "INSERT OR REPLACE INTO entries (space, key, shape, checksum, data) VALUES (?, ?, ?, ?, ?)",
                    ((number, key, *_encode(space, key, array)) for key, array in items.items()),
                )

        self._database.run(write, otherwise=None)

    def spaces(self) -> pd.DataFrame:
        """What is stored: columns space, description, entries, bytes (of the arrays), created (UTC)."""
        query = (
            "SELECT name, description, COUNT(entries.key), COALESCE(SUM(LENGTH(data)), 0), created FROM spaces "
            "LEFT JOIN entries ON entries.space = spaces.id GROUP BY spaces.id ORDER BY spaces.id"
        )

        def read(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        rows: list[tuple[Any, ...]] = self._database.run(read, otherwise=[])
        table = pd.DataFrame(rows, columns=["space", "description", "entries", "bytes", "created"])
        table["description"] = table["description"].map(_listed)
        table["created"] = pd.to_datetime(table["created"], utc=True, errors="coerce")
        return table

    def clear(self, space: str | None = None) -> int:
        """Delete one space, or everything (damaged files that were set aside included), and free the disk space.

        Returns:
            The number of entries deleted.
        """

        def delete(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                if space is None:
                    removed = connection.execute("DELETE FROM entries").rowcount
                    connection.execute("DELETE FROM spaces")
                else:
                    own = "(SELECT id FROM spaces WHERE name = ?)"
                    removed = connection.execute(f"DELETE FROM entries WHERE space = {own}", (space,)).rowcount
                    connection.execute("DELETE FROM spaces WHERE name = ?", (space,))
            # Another process may be reading; the entries are gone all the same, only the file is not yet smaller.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return removed

        removed = self._database.run(delete, otherwise=0)
        if space is None:
            self._database.remove_set_aside()
        return removed

    def close(self) -> None:
        """Close this process's connection; the next call opens a new one."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddingCache({str(self.folder)!r})"


def _encode(space: str, key: bytes, array: np.ndarray) -> tuple[str, bytes, bytes]:
    values = np.asarray(array, dtype="<f4", order="C")
    shape = ",".join(str(length) for length in values.shape)
    data = values.tobytes()
    return shape, _checksum(space, key, shape, data), data


def _decode(space: str, key: Any, shape: Any, checksum: Any, data: Any) -> np.ndarray | None:
    """The array, or None where the row is not what was written (types included: a SQLite column holds any)."""
    try:
        if _checksum(space, key, shape, data) != checksum:
            return None
    except TypeError:
        return None
    lengths = [int(length) for length in shape.split(",") if length]
    return np.frombuffer(data, dtype="<f4").reshape(lengths).astype(np.float32)


def _checksum(space: str, key: bytes, shape: str, data: bytes) -> bytes:
    digest = hashlib.blake2b(f"{space}|{shape}|".encode(), digest_size=8)
    digest.update(key)
    digest.update(data)
    return digest.digest()


def _name(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else repr(key)


def _listed(description: str | None) -> str:
    try:
        return ", ".join(f"{name}: {value}" for name, value in json.loads(description or "{}").items())
    except (ValueError, AttributeError):
        return str(description)
