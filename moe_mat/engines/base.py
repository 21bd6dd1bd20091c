"""What all engines are: workers that run functions, one at a time each, on one thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

EngineName = Literal["processes", "ray"]

WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Variables of a worker; numerical libraries read them once, when they are imported."""


class WorkerDiedError(RuntimeError):
    """A worker ended without an answer, and again when the job was tried anew."""


@dataclass(frozen=True, slots=True)
class WorkerNeeds:
    """What a cluster sets aside for a worker: one core, or beside a GPU its share of the cores of a node.

    Attributes:
        memory: For each core, in bytes; 0 for no request.
        gpus: A GPU, or a part of one, where the cluster has any.
    """

    memory: int = 0
    gpus: float = 0.0


class Engine(ABC):
    """Runs functions elsewhere.

    A worker keeps what a function has loaded into its modules for the next job.

    Attributes:
        workers: Number of jobs that run at once.
        shares_cache: Whether all workers see this machine's embedding cache.
        cores: Of each worker.
    """

    workers: int
    shares_cache: bool
    cores: int = 1

    @abstractmethod
    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:
        """Start a job.

        Args:
            name: Of the job, hashable.
            function: Importable by its name.
            arguments: Of the function; what was kept of other jobs comes as what `kept` returns.
            keep: Whether the function returns two things: its answer, and what other jobs need, which stays with the
                workers until it is released.
        """

    @abstractmethod
    def next_done(self) -> tuple[Any, Any]:
        """Wait for a job: its name, and its answer or the exception that it raised."""

    @abstractmethod
    def kept(self, name: Any) -> Any:
        """What a job has kept, as an argument of other jobs; None where workers share the cache and do not need it."""

    @abstractmethod
    def release(self, name: Any) -> None:
        """Forget what a job has kept: no other job will need it."""

    @abstractmethod
    def close(self) -> None:
        """End the workers, and whatever they are doing."""


Job = tuple[Any, Callable[..., Any], tuple[Any, ...]]
"""A name, a function and its arguments."""


def answers(engine: Engine, jobs: Iterable[Job]) -> Generator[tuple[Any, Any], None, None]:
    """Run jobs, as many at once as there are workers.

    Args:
        engine: Has no other jobs.
        jobs: Taken one by one, when a worker is free.

    Yields:
        The name of a job that is done, and its answer or the exception that it raised.
    """
    remaining, running = iter(jobs), 0
    while True:
        for name, function, arguments in islice(remaining, engine.workers - running):
            engine.submit(name, function, *arguments)
            running += 1
        if not running:
            return
        yield engine.next_done()
        running -= 1
