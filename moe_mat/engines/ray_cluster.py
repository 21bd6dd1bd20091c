"""An existing Ray cluster: one actor a worker, which keeps what it has loaded from job to job."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moe_mat.engines.base import WORKER_ENVIRONMENT, Engine, WorkerDiedError, WorkerNeeds

logger = logging.getLogger(__name__)

# A node of a cluster may be taken away from a job that has done no wrong.
MOST_DEATHS = 3
# Workers that end before they have done anything, one after the other: there will be no others.
MOST_FALSE_STARTS = 5


class RayEngine(Engine):
    """The cluster of ``RAY_ADDRESS``, or the one that was started on this machine.

    Its nodes need the project and the folders that jobs name, under the same paths. Workers come one by one as the
    cluster has room for them, and the first ones begin before the last ones are there. When one dies, as when its node
    is taken away, its job is tried again by another.

    Args:
        workers: Most jobs at once.
        needs: Of each worker.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster.
    """

    shares_cache = False

    def __init__(self, workers: int, needs: WorkerNeeds | None = None) -> None:
        self.workers = workers
        with _own_sigterm():
            try:
                import ray
            except ImportError as error:
                raise ImportError("--engine ray needs Ray: pip install moe_mat[ray]") from error
            self._ray = ray
            self._connected = not ray.is_initialized()
            if self._connected:
                try:
                    ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
                except ConnectionError as error:
                    advice = "start one by ray start --head, or name it by RAY_ADDRESS"
                    raise ConnectionError(f"there is no Ray cluster: {advice} ({error})") from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        requests = worker_requests(needs or WorkerNeeds(), nodes)
        self.cores = int(requests["num_cpus"])
        self._new_actor = _actor_class(ray, requests)
        self._waiting: deque[_Job] = deque()
        self._starting: dict[Any, Any] = {}  # reference -> actor
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[_Job, Any]] = {}  # reference -> job, actor
        self._kept: dict[Any, Any] = {}
        self._false_starts = 0

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        self._waiting.append(_Job(name, function, arguments, keep))
        self._dispatch()

    def _dispatch(self) -> None:
        """Give waiting jobs to idle workers, and ask for as many more workers as could have one."""
        while self._waiting and self._idle:
            job, actor = self._waiting.popleft(), self._idle.pop()
            if job.keep:
                reference, self._kept[job.name] = actor.run_and_keep.remote(job.function, *job.arguments)
            else:
                reference = actor.run.remote(job.function, *job.arguments)
            self._running[reference] = job, actor
        while len(self._starting) < min(len(self._waiting), self.workers - len(self._running) - len(self._idle)):
            actor = self._new_actor()
            self._starting[actor.start.remote()] = actor

    def next_done(self) -> tuple[Any, Any]:  # noqa: D102
        while True:
            self._dispatch()
            (reference,), _ = self._ray.wait([*self._running, *self._starting], num_returns=1)
            if reference in self._starting:
                self._started(reference)
                continue
            job, actor = self._running.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                self._ray.kill(actor)  # one that cannot be reached may come back
                job.deaths += 1
                if job.deaths < MOST_DEATHS:
                    logger.info("a worker of the Ray cluster has ended; %s is tried again by another", job.name)
                    self._waiting.appendleft(job)
                    continue
                self._kept.pop(job.name, None)
                return job.name, WorkerDiedError(f"its worker died without an answer, {job.deaths} times ({error})")
            except self._ray.exceptions.RayTaskError as error:
                answer = error.cause
            except self._ray.exceptions.RayError as error:  # as of what was kept by a worker that has died
                answer = error
            self._idle.append(actor)
            return job.name, answer

    def _started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._false_starts += 1
            if self._false_starts >= MOST_FALSE_STARTS:
                raise ConnectionError(f"workers of the Ray cluster do not start: {error}") from error
            return
        self._false_starts = 0
        self._idle.append(actor)

    def kept(self, name: Any) -> Any:  # noqa: D102
        return self._kept.get(name)

    def release(self, name: Any) -> None:  # noqa: D102
        self._kept.pop(name, None)  # Ray frees what nobody refers to

    def close(self) -> None:  # noqa: D102
        for actor in [*self._starting.values(), *self._idle, *(actor for _, actor in self._running.values())]:
            self._ray.kill(actor)
        for references in (self._starting, self._running, self._kept):
            references.clear()
        if self._connected:
            self._ray.shutdown()


@dataclass(eq=False)
class _Job:
    name: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keep: bool
    deaths: int = 0


class _Worker:
    """Runs one job after the other in a process of its own."""

    def start(self) -> None:
        """Be there."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def run_and_keep(self, function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        answer, kept = function(*arguments)
        return answer, kept


def worker_requests(needs: WorkerNeeds, nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What each worker asks a cluster of such nodes for; warns where none of them has it.

    Args:
        needs: Of a worker.
        nodes: What each has, by Ray's names.

    Returns:
        Options of Ray's actors.
    """
    # The least share of all nodes with a GPU, so that a worker finds room on each.
    shares = [int(node.get("CPU", 0) * needs.gpus / node["GPU"]) for node in nodes if needs.gpus and node.get("GPU")]
    cores = max(1, min(shares, default=1))
    wanted = {"CPU": float(cores), "memory": float(needs.memory * cores), "GPU": needs.gpus if shares else 0.0}
    if not any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        asked = f"{cores} cores, {wanted['memory'] / 2**30:.1f} GiB of memory and {wanted['GPU']:g} GPUs"
        logger.warning("no node of the Ray cluster has what a worker asks for (%s): waiting for one", asked)
    names = {"CPU": "num_cpus", "memory": "memory", "GPU": "num_gpus"}
    return {names[name]: amount for name, amount in wanted.items() if amount}


def _actor_class(ray: Any, requests: Mapping[str, float]) -> Callable[[], Any]:
    """What makes a worker; decorated once."""
    variables = {**WORKER_ENVIRONMENT, "PYTHONPATH": os.environ.get("PYTHONPATH", os.getcwd())}
    worker = type("_Worker", (_Worker,), {"run_and_keep": ray.method(num_returns=2)(_Worker.run_and_keep)})
    return ray.remote(runtime_env={"env_vars": variables}, **requests)(worker).remote


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what this process does on SIGTERM: importing Ray sets a handler of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
