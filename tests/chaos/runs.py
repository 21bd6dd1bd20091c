"""The fork server and what comes back from its children."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from chaos.forked import Job, perform

# Nothing here takes longer than a few seconds; what does hangs.
PATIENCE = 120.0
# Two threads must not ask for the end of one process.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        status: Exit status, or minus the signal that ended it.
        out: Its standard output.
        err: Its standard error.
        seconds: That it took.
        changes: Of the disk: the kind of each, of a run in which they were counted.
    """

    status: int
    out: str
    err: str
    seconds: float
    changes: Sequence[str]


@contextlib.contextmanager
def fork_server(*paths: Path) -> Iterator[None]:
    """Start the server that has imported all that a command needs; threads there are none.

    Args:
        paths: Folders of modules beside the installed ones.
    """
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths)), "MPLBACKEND": "agg"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        multiprocessing.forkserver.set_forkserver_preload(["chaos.heavy"])
        multiprocessing.forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    yield
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]


class Run:
    """A run that has been started."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._start = time.monotonic()
        self._process: BaseProcess = multiprocessing.get_context("forkserver").Process(target=perform, args=(job,))
        with _LOCK:
            self._process.start()

    def send(self, number: int, *, after: float, group: bool = False) -> None:
        """Send a signal after some seconds, if it has not ended before.

        Args:
            number: Of the signal.
            after: Seconds from its start.
            group: Whether its workers get it as well.
        """
        left = self._start + after - time.monotonic()
        if not connection.wait([self._process.sentinel], max(left, 0)) and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self._process.pid, number)

    def end(self) -> Ended:
        """Wait for its end."""
        if not connection.wait([self._process.sentinel], PATIENCE):
            self.send(signal.SIGKILL, after=0, group=True)
        seconds = time.monotonic() - self._start
        with _LOCK:
            self._process.join()
            status = self._process.exitcode
        assert status is not None
        out, err, changes = (_text(Path(f"{self.job.log}.{stream}")) for stream in ("out", "err", "changes"))
        return Ended(status, out, err, seconds, changes.split())


def run(job: Job) -> Ended:
    """Run a command to its end."""
    return Run(job).end()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
