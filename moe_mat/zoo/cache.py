"""What encoders said about crystals, on disk, in one SQLite file: docs/cache.md says what is promised.

A row is found by its *space* (the digest of an encoder: its code, settings and weights) and its *key* (which structure
it belongs to), and has the layers that some expert has read.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from moe_mat.files.folders import cache_folder
from moe_mat.zoo.cache_rows import SCHEMA, find_rows, put_rows
from moe_mat.zoo.database import CacheDatabase, transaction
from moe_mat.zoo.pooled_layers import PooledLayers

logger = logging.getLogger(__name__)

NAMED_IN_WARNING = 20


class EmbeddingCache:
    """Pooled layers under (encoder, structure key), safe with several writers and after a kill.

    Every `put_many` is one transaction: a killed writer leaves all of it or nothing. Every row carries a checksum: a
    rotten one is a miss, named in a warning, and replaced by the next `put_many`. A file that fails SQLite's integrity
    check is set aside with a warning and a fresh one is begun. Where nothing can be stored (read-only folder, full
    disk, network file system) a warning says so and the cache answers with misses. It can be pickled, forked and shared
    by threads: each process has its own connection.

    Args:
        path: the cache's folder; by default ``MOE_MAT_CACHE`` or the platform's user cache folder.

    Example:
        >>> import tempfile, numpy as np
        >>> from moe_mat.zoo import Block, PooledLayers, layout_of
        >>> row = PooledLayers(layout_of((Block("conv4", "mean", "none", 3),)), np.ones(3, dtype=np.float32))
        >>> with EmbeddingCache(Path(tempfile.mkdtemp())) as cache:
        ...     cache.put_many("5eed", {b"NaCl": row}, encoder="toy")
        ...     cache.get_many("5eed", [b"NaCl", b"KCl"])[b"NaCl"].values
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, path: Path | None = None) -> None:
        self.folder = cache_folder() if path is None else Path(path)
        self._database = CacheDatabase(self.folder, stem="layers", schema=SCHEMA)

    def get_many(self, space: str, keys: Sequence[bytes]) -> dict[bytes, PooledLayers]:
        """The stored rows of an encoder.

        Args:
            space: the encoder's digest, see `EmbeddingOrder.passes`.
            keys: structure keys; repeated ones are looked up once.

        Returns:
            key -> pooled layers, for the keys that are there and sound.
        """
        wanted = list(dict.fromkeys(keys))

        def read(connection: sqlite3.Connection) -> tuple[dict[bytes, PooledLayers], list[str]]:
            return find_rows(connection, space, wanted)

        nothing: tuple[dict[bytes, PooledLayers], list[str]] = {}, []
        found, damaged = self._database.run(read, otherwise=nothing)
        if damaged:
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
        self,
        space: str,
        rows: Mapping[bytes, PooledLayers],
        *,
        encoder: str | None = None,
        experts: Sequence[str] = (),
    ) -> None:
        """Store rows in one transaction.

        Of a crystal that has a row already, the layers given here are replaced and its others are kept.

        Args:
            space: as in `get_many`.
            rows: structure key -> pooled layers, stored as float32.
            encoder: its name, shown by `spaces`.
            experts: names of those that read these layers, shown by `spaces`.
        """
        if not rows:
            return

        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                put_rows(connection, space, rows, encoder=encoder, experts=experts)

        self._database.run(write, otherwise=None)

    def spaces(self) -> pd.DataFrame:
        """What is stored: columns encoder, experts, entries, bytes (of the layers), created (UTC), space."""
        columns = {
            "encoder": "coalesce(encoder, '')",
            "experts": "coalesce((SELECT group_concat(expert, ', ') FROM readers WHERE pass = passes.id), '')",
            "entries": "count(entries.crystal)",
            "bytes": "coalesce(sum(length(data)), 0)",
            "created": "created",
            "space": "space",
        }
        query = (
            f"SELECT {', '.join(columns.values())} FROM passes LEFT JOIN entries ON pass = passes.id "
            "GROUP BY passes.id ORDER BY passes.id"
        )

        def read(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        rows: list[tuple[Any, ...]] = self._database.run(read, otherwise=[])
        table = pd.DataFrame(rows, columns=list(columns))
        table["created"] = pd.to_datetime(table["created"], utc=True, errors="coerce")
        return table

    def clear(self, space: str | None = None) -> int:
        """Delete one space, or everything, and free the disk space.

        Everything includes damaged files that were set aside, and those of versions whose files are no longer read.

        Returns:
            The number of rows deleted.
        """

        def delete(connection: sqlite3.Connection) -> int:
            own = "" if space is None else "WHERE pass = (SELECT id FROM passes WHERE space = :space)"
            with transaction(connection):
                removed = connection.execute(f"DELETE FROM entries {own}", {"space": space}).rowcount
                connection.execute(f"DELETE FROM readers {own}", {"space": space})
                connection.execute("DELETE FROM passes WHERE :space IS NULL OR space = :space", {"space": space})
                connection.execute("DELETE FROM crystals WHERE id NOT IN (SELECT crystal FROM entries)")
                connection.execute("DELETE FROM layouts WHERE id NOT IN (SELECT layout FROM entries)")
            # Another process may be reading; the rows are gone all the same, only the file is not yet smaller.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
            return removed

        removed = self._database.run(delete, otherwise=0)
        if space is None:
            self._database.remove_set_aside()
            for path in self.outdated():
                path.unlink(missing_ok=True)
        return removed

    def outdated(self) -> list[Path]:
        """Files of version 0.1, which had a row for each expert: they are not read."""
        return sorted(self.folder.glob("embeddings-*.sqlite3*"))

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
