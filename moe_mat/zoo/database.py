"""A SQLite file that costs time when it fails, never a run: what the embedding cache stands on."""

import contextlib
import logging
import os
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from moe_mat.files.folders import CACHE_VARIABLE
from moe_mat.files.mounts import network_mount

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long SQLite waits for another writer, and how long we go on asking it to.
LOCK_SECONDS = 10.0
BUSY_SECONDS = 60.0

# A page holds several rows of a few hundred floats; SQLite's default, 4 KiB, would leave almost half of it empty.
PAGE_BYTES = 16384
# What a transaction changes is kept until its end: whoever reads meanwhile waits only for the end.
MEMORY_KIB = 64 * 1024

# A read that fails is tried once more after this time; failing again, it has the file checked.
SECOND_READ_SECONDS = 0.2

# SQLITE_ERROR is here because our statements are fixed: they only fail on a file whose schema is not ours.
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class CacheDatabase:
    """One SQLite file in a folder, opened by each process when it first needs it.

    Safe with several processes and threads of one machine, picklable and usable after a fork. A file that fails
    SQLite's integrity check, or has other tables, is set aside with a warning and a fresh one is begun; a file that
    cannot be written is read where that is possible; a network file system, where SQLite's locks do not hold, is left
    alone; anything else that fails is a warning and the answer the caller named.

    Args:
        folder: created when first used.
        stem: files are named ``<stem>-<number>.sqlite3``; the number grows when a damaged file is set aside.
        schema: statements that create the tables and harm nothing when those are there.
    """

    def __init__(self, folder: Path, *, stem: str, schema: Sequence[str]) -> None:
        self.folder = folder
        self.stem = stem
        self.schema = tuple(schema)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file = self._current_file()
        self._warned: set[str] = set()
        self._remote: bool | None = None
        _DATABASES.add(self)

    def run(self, action: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        """Do `action` with the open database; where it cannot be done, say why in a warning and return `otherwise`.

        `action` may be called again from its start after a failure, so it must not keep half a result.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        failures, fresh_starts = 0, 2
        with self._lock:
            while True:
                try:
                    connection = self._connect()
                    return otherwise if connection is None else action(connection)
                except sqlite3.Error as error:
                    code = getattr(error, "sqlite_errorcode", None)
                    if code is None:  # not the database's doing: an argument of the wrong type, say
                        raise
                    if code & 0xFF in BUSY and time.monotonic() < deadline:
                        time.sleep(0.02)
                        continue
                    if code & 0xFF in DAMAGED:
                        failures += 1
                        if failures == 1:  # one bad read says little of the file
                            self.close()
                            time.sleep(SECOND_READ_SECONDS)
                            continue
                        if fresh_starts and (problem := self._problem()) and self._set_aside(problem):
                            failures, fresh_starts = 0, fresh_starts - 1
                            continue
                    self._warn_once(
                        f"The cache in {self.folder} failed ({error}): what it cannot read is computed anew, what it "
                        f"cannot write is not stored. Free disk space, or set {CACHE_VARIABLE} to another folder."
                    )
                    return otherwise

    def close(self) -> None:
        """Close this process's connection; the next `run` opens a new one."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def remove_set_aside(self) -> None:
        """Delete the damaged files that were set aside."""
        for path in self.folder.glob(f"{self.stem}-*.sqlite3.damaged"):
            path.unlink(missing_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "stem": self.stem, "schema": self.schema}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message)

    def _connect(self) -> sqlite3.Connection | None:
        if self._connection is not None and not self._file.exists():
            self.close()  # the user deleted the cache: what is written to the open file would vanish with it
        if self._connection is not None or self._is_remote():
            return self._connection
        self._file = self._current_file()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._connection = self._open(self._file)
        except (OSError, sqlite3.OperationalError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY | DAMAGED:
                raise
            self._warn_once(
                f"The cache in {self.folder} cannot be written ({error}): new embeddings are not stored. "
                f"Set {CACHE_VARIABLE} to a folder that can."
            )
            if self._file.is_file() and os.access(self._file, os.R_OK):
                self._connection = self._open_to_read()
        return self._connection

    def _is_remote(self) -> bool:
        if self._remote is None:
            mount = network_mount(self.folder)
            self._remote = mount is not None
            if mount and self.folder not in _REFUSED:  # once a process, however many caches it opens
                _REFUSED.add(self.folder)
                logger.warning(
                    "The cache folder %s is on a network file system (%s), where SQLite is not safe: embeddings are "
                    "computed anew and not stored. Set %s to a folder on a disk of this machine, such as "
                    "$TMPDIR/moe_mat on a cluster's node.",
                    self.folder,
                    mount,
                    CACHE_VARIABLE,
                )
        return self._remote

    def _open(self, file: Path) -> sqlite3.Connection:
        connection = _connection(file)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{MEMORY_KIB}")
            # A rollback journal, SQLite's default: what is added is written once, where a log ahead would write it
            # twice.
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                with transaction(connection):
                    for statement in self.schema:
                        connection.execute(statement)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection | None:
        connection = _connection(self._file, read_only=True)
        with contextlib.suppress(sqlite3.OperationalError):
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                return connection
        connection.close()  # a full disk, say, on which it was begun and came no further
        return None

    def _problem(self) -> str:
        """What an examination of the whole file finds wrong with it; empty where it is sound, or cannot be examined."""
        self.close()
        if not self._file.exists():
            return "it is gone"
        try:
            with contextlib.closing(_connection(self._file, read_only=True)) as connection:
                ((found,),) = connection.execute("PRAGMA integrity_check(1)").fetchall()
                tables = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
        except sqlite3.Error as error:
            return str(error) if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED else ""
        if found != "ok":
            return str(found)
        ours = {statement.replace(" IF NOT EXISTS", "") for statement in self.schema}
        return "" if ours <= tables or not tables else "its tables are not those of this version"

    def _current_file(self) -> Path:
        """The file in use. Its number is above those set aside, so that no process sets aside another's fresh file."""
        number = 1
        pattern = re.compile(rf"{re.escape(self.stem)}-(\d+)\.sqlite3(\.damaged)?")
        with contextlib.suppress(OSError):
            matches = [match for path in self.folder.iterdir() if (match := pattern.fullmatch(path.name))]
            number = max((int(match[1]) + bool(match[2]) for match in matches), default=1)
        return self.folder / f"{self.stem}-{number}.sqlite3"

    def _set_aside(self, problem: str) -> bool:
        """Close the file, and rename it if it is still there; False where that is not possible."""
        self.close()
        file = self._file
        aside = file.with_name(f"{file.name}.damaged")
        try:
            file.replace(aside)
        except FileNotFoundError:  # another process has set it aside already
            return True
        except OSError:
            return False
        with contextlib.suppress(OSError):
            file.with_name(f"{file.name}-journal").unlink()
        logger.warning(
            "The cache file %s is damaged (%s). It was set aside as %s, which may be deleted, and a fresh one begun.",
            file,
            problem,
            aside.name,
        )
        return True


def _connection(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    address = f"{file.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    # Text of a damaged file may be anything; its row's checksum tells.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


_REFUSED: set[Path] = set()

# SQLite keeps its locks in the process's memory, so that a connection that is open at a fork spoils those of the child.
_DATABASES: "weakref.WeakSet[CacheDatabase]" = weakref.WeakSet()
_held_for_fork: list[CacheDatabase] = []


def _close_before_fork() -> None:
    for database in list(_DATABASES):
        database._lock.acquire()
        database.close()
        _held_for_fork.append(database)


def _release_after_fork() -> None:
    while _held_for_fork:
        _held_for_fork.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_close_before_fork, after_in_parent=_release_after_fork, after_in_child=_release_after_fork
    )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All statements inside, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
