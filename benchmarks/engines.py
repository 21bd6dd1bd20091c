"""Where jobs run: processes of this machine, or an existing Ray cluster. One job a worker, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDiedError(RuntimeError):
    """A worker ended without an answer, twice with the same job."""


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
    """Processes of this machine. A job whose worker dies is tried once more, then given up.

    Args:
        workers: number of processes.
    """

    shares_cache = True

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._running: dict[Future[Any], tuple[Any, Callable[..., Any], tuple[Any, ...]]] = {}
        self._deaths: dict[Any, int] = {}
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # Set here, inherited there: numerical libraries read them once, when they are imported.
        for variable in THREADS:
            os.environ[variable] = "1"
        # A fork would inherit locks of threads; and a cell alone must run as it does among others.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        self._running[self._pool.submit(function, *arguments)] = (name, function, arguments)

    def next_done(self) -> tuple[Any, Any]:  # noqa: D102
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = done.pop()
        if isinstance(future.exception(), BrokenProcessPool):
            return self._after_death()
        name, _, _ = self._running.pop(future)
        return name, future.exception() or future.result()

    def _after_death(self) -> tuple[Any, Any]:
        """Start anew: no one can tell which of the running jobs took the workers down."""
        lost, self._running = list(self._running.items()), {}
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool()
        given_up = []
        for future, (name, function, arguments) in lost:
            if future.done() and future.exception() is None:
                self._running[future] = (name, function, arguments)
                continue
            self._deaths[name] = self._deaths.get(name, 0) + 1
            if self._deaths[name] > 1:
                given_up.append(name)
            else:
                self.submit(name, function, *arguments)
        if given_up:
            for name in given_up[1:]:
                failed: Future[Any] = Future()
                failed.set_exception(_died())
                self._running[failed] = (name, _start_worker, ())
            return given_up[0], _died()
        return self.next_done()

    def kept(self, name: Any) -> Any:  # noqa: D102
        return None

    def close(self) -> None:  # noqa: D102
        for process in list(getattr(self._pool, "_processes", None) or {}):
            self._pool._processes[process].terminate()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _died() -> WorkerDiedError:
    return WorkerDiedError("its worker died twice without an answer, as when the system runs out of memory")


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
