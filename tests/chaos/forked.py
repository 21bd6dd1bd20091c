"""One run of a command in a child of the fork server, which may be told to fail at the n-th change of the disk."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

# In place of 32 and 256: a run over a few crystals writes as often as one over thousands.
CRYSTALS_IN_BATCH, CRYSTALS_IN_CHUNK = 8, 16
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Job:
    """A run of a command.

    Attributes:
        program: ``moe-mat``, or ``sweep`` of the benchmark.
        arguments: Of the command line.
        folder: To work in.
        cache: Folder of the cache.
        log: Start of the names of the files that get its output: ``<log>.out``, ``<log>.err`` and ``<log>.changes``.
        temporary: Folder for temporary files.
        signal: Sent to itself at a change of the disk.
        at: Which one, counted from 1; None for none.
        counted: Whether changes are counted, which takes time.
        largest_file: Bytes that a file may grow to; None for any number.
        user: Who runs it; None for whoever runs the tests.
    """

    program: str
    arguments: tuple[str, ...]
    folder: Path
    cache: Path
    log: Path
    temporary: Path
    signal: int = 0
    at: int | None = None
    counted: bool = False
    largest_file: int | None = None
    user: int | None = None


def perform(job: Job) -> None:
    """Run it, and end this process with its exit status."""
    os.setsid()  # a batch system ends a whole group
    os.chdir(job.folder)
    os.environ["MOE_MAT_CACHE"] = str(job.cache)
    os.environ["COLUMNS"] = "300"
    tempfile.tempdir = str(job.temporary)
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{job.log}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    _make_batches_small()
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    if job.user is not None:
        os.setuid(job.user)
    seen = _watch_changes(job.at, job.signal) if job.counted or job.at else []
    status = _main(job)
    Path(f"{job.log}.changes").write_text(" ".join(seen))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _main(job: Job) -> int:
    """As the interpreter ends a program: a traceback is one for the user, too."""
    from benchmarks import sweep
    from moe_mat.cli.main import main
    from moe_mat.engines import processes

    try:
        if job.program == "moe-mat":
            sys.argv = ["moe-mat", *job.arguments]
            return main()
        # Its workers come from this process, which has all that they would import.
        processes.multiprocessing = _ForkOnly()  # type: ignore[attr-defined]
        return sweep.main(job.arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1


class _ForkOnly:
    """The module multiprocessing, in which a spawned process is a forked one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(multiprocessing, name)

    def get_context(self, method: str) -> Any:
        return multiprocessing.get_context("fork")


def _make_batches_small() -> None:
    from moe_mat.zoo import embeddings, write_buffer

    embeddings.MOST_CRYSTALS, embeddings.STREAM_CHUNK = CRYSTALS_IN_BATCH, CRYSTALS_IN_CHUNK
    write_buffer.MAX_BYTES = 1


def _watch_changes(at: int | None, signal: int) -> list[str]:
    """Count changes of the disk: files opened for writing, copied, flushed, renamed and removed, and SQL statements.

    Returns:
        The kinds of changes so far, which grow.
    """
    process, seen = os.getpid(), list[str]()

    def change(kind: str, *, later: bool = False) -> None:
        if os.getpid() != process:  # a worker
            return
        seen.append(kind)
        if len(seen) != at:
            return
        if later and signal != SIGKILL:  # an exception that is raised here ends nothing but the call from SQLite
            threading.Timer(0.001, os.kill, (process, signal)).start()
        else:
            os.kill(process, signal)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and _writes(*arguments)):
            change(event)

    def before(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any, **settings: Any) -> Any:
            change(kind)
            return function(*given, **settings)

        return watched

    connect = before("connect", sqlite3.connect)

    def connected(*given: Any, **settings: Any) -> sqlite3.Connection:
        connection = connect(*given, **settings)
        connection.set_trace_callback(lambda statement: change(statement.split()[0], later=True))
        return connection

    sqlite3.connect = connected
    os.fsync, os.sendfile = before("fsync", os.fsync), before("copy", os.sendfile)
    sys.addaudithook(watch)
    return seen


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    return isinstance(flags, int) and bool(flags & FOR_WRITING) and not str(path).startswith(("/dev/", "/proc/"))
