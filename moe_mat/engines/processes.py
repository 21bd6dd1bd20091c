"""Processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from moe_mat.engines.base import WORKER_ENVIRONMENT, Engine, WorkerDiedError, WorkerNeeds


class ProcessEngine(Engine):
    """Processes of this machine. When a worker dies, the jobs that were running are tried once more, one by one.

    Args:
        workers: Number of processes.
        needs: Of no meaning here: nothing sets aside what a process uses.
    """

    shares_cache = True

    def __init__(self, workers: int, needs: WorkerNeeds | None = None) -> None:
        self.workers = workers
        self._running: dict[Future[Any], _Job] = {}
        self._suspects: list[_Job] = []
        self._held: list[_Job] = []
        self._died: set[Any] = set()
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        os.environ.update(WORKER_ENVIRONMENT)  # set here, inherited there
        # A fork would inherit locks of threads; and a job alone must run as it does among others.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        job = _Job(name, _first, (function, *arguments)) if keep else _Job(name, function, arguments)
        if self._suspects:
            self._held.append(job)
        else:
            self._start(job)

    def _start(self, job: _Job) -> None:
        try:
            future = self._pool.submit(job.function, *job.arguments)
        except BrokenProcessPool as error:  # a worker has just died: `next_done` sees to it
            future = Future()
            future.set_exception(error)
        self._running[future] = job

    def next_done(self) -> tuple[Any, Any]:  # noqa: D102
        while True:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            future = done.pop()
            if isinstance(future.exception(), BrokenProcessPool):
                guilty = self._after_death()
                if guilty is not None:
                    return guilty.name, WorkerDiedError(
                        "its worker died without an answer, as when the system runs out of memory; tried twice"
                    )
                continue
            name = self._running.pop(future).name
            self._next_suspect(name)
            return name, future.exception() or future.result()

    def _after_death(self) -> _Job | None:
        """Start anew and try the lost jobs alone, as no one can tell which it was; returns one that died alone."""
        lost = [job for future, job in self._running.items() if not future.done() or future.exception() is not None]
        self._running = {future: job for future, job in self._running.items() if job not in lost}
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool()
        if len(lost) == 1 and lost[0].name in self._died:
            self._next_suspect(lost[0].name)
            return lost[0]
        self._died |= {job.name for job in lost}
        self._suspects = [*lost, *self._suspects]
        self._start(self._suspects[0])
        return None

    def _next_suspect(self, name: Any) -> None:
        """After a suspect, the next one; after the last, the jobs that had to wait."""
        self._suspects = [job for job in self._suspects if job.name != name]
        if self._suspects:
            if not self._running:
                self._start(self._suspects[0])
            return
        held, self._held = self._held, []
        for job in held:
            self._start(job)

    def kept(self, name: Any) -> Any:  # noqa: D102
        return None

    def release(self, name: Any) -> None:  # noqa: D102
        pass

    def close(self) -> None:  # noqa: D102
        for process in list((getattr(self._pool, "_processes", None) or {}).values()):
            process.terminate()
        # Waited for, as the interpreter's end would otherwise wake a pool whose pipes are being closed.
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Job:
    name: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def _first(function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer without what is kept, which nobody needs who shares the cache."""
    return function(*arguments)[0]


def _start_worker() -> None:
    """Be quiet, and do not outlive who started it: a killed one cannot say goodbye."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and the one that started them ends them
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
