"""Where jobs run: processes of this machine, or an existing Ray cluster. One job a worker, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDiedError(RuntimeError):
    """A worker ended without an answer, and again when the job was tried alone."""


class Engine(ABC):
    """Runs functions elsewhere.

    Attributes:
        workers: number of jobs that run at once.
        shares_cache: whether all workers see this machine's embedding cache.
    """

    workers: int
    shares_cache: bool

    @abstractmethod
    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:
        """Start a job.

        Args:
            name: of the job, hashable.
            function: importable by its name.
            arguments: of the function; answers that were kept come as what `kept` returns.
            keep: whether the answer stays with the engine, so that other jobs can have it.
        """

    @abstractmethod
    def next_done(self) -> tuple[Any, Any]:
        """Wait for a job: its name, and its answer or the exception that it raised."""

    @abstractmethod
    def kept(self, name: Any) -> Any:
        """A kept answer, as an argument of other jobs; None where workers have no need of it."""

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


class ProcessEngine(Engine):
    """Processes of this machine. When a worker dies, the jobs that were running are tried once more, one by one.

    Args:
        workers: number of processes.
    """

    shares_cache = True

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._running: dict[Future[Any], _Job] = {}
        self._suspects: list[_Job] = []
        self._held: list[_Job] = []
        self._died: set[Any] = set()
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # Set here, inherited there: numerical libraries read them once, when they are imported.
        for variable in THREADS:
            os.environ[variable] = "1"
        # A fork would inherit locks of threads; and a cell alone must run as it does among others.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        job = _Job(name, function, arguments)
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

    def close(self) -> None:  # noqa: D102
        for process in list((getattr(self._pool, "_processes", None) or {}).values()):
            process.terminate()
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Job:
    name: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def _start_worker() -> None:
    """Be quiet, and do not outlive the sweep: a killed one cannot say goodbye."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class RayEngine(Engine):
    """An existing Ray cluster: that of ``RAY_ADDRESS``, or the one that was started on this machine.

    The workers need the project and the folder of data, under the same paths; embeddings travel through Ray.

    Args:
        workers: number of jobs at once.

    Raises:
        ImportError: Ray is not installed.
    """

    shares_cache = False

    def __init__(self, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("--engine ray needs Ray: pip install moe_mat[ray]") from error
        self._ray, self.workers = ray, workers
        if not ray.is_initialized():
            variables = {**dict.fromkeys(THREADS, "1"), "PYTHONPATH": os.environ.get("PYTHONPATH", os.getcwd())}
            ray.init(address="auto", log_to_driver=False, runtime_env={"env_vars": variables})
            self._connected = True
        else:
            self._connected = False
        self._running: dict[Any, Any] = {}
        self._kept: dict[Any, Any] = {}

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        remote = self._ray.remote(num_cpus=1, max_retries=1)(function)
        reference = remote.remote(*arguments)
        if keep:
            self._kept[name] = reference
        self._running[reference] = name

    def next_done(self) -> tuple[Any, Any]:  # noqa: D102
        (reference,), _ = self._ray.wait(list(self._running), num_returns=1)
        name = self._running.pop(reference)
        try:
            return name, self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return name, error

    def kept(self, name: Any) -> Any:  # noqa: D102
        return self._kept.get(name)

    def close(self) -> None:  # noqa: D102
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._connected:
            self._ray.shutdown()


ENGINES: dict[str, type[ProcessEngine] | type[RayEngine]] = {"processes": ProcessEngine, "ray": RayEngine}
