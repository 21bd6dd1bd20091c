"""No workers: jobs run in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from moe_mat.engines.base import Engine, WorkerNeeds


class InlineEngine(Engine):
    """Jobs in this process, which share all that it has loaded.

    Args:
        workers: One, whatever is asked for.
        needs: Of no meaning here.
    """

    shares_cache = True

    def __init__(self, workers: int = 1, needs: WorkerNeeds | None = None) -> None:
        self.workers = 1
        self._jobs: deque[tuple[Any, Callable[..., Any], tuple[Any, ...], bool]] = deque()

    def submit(self, name: Any, function: Callable[..., Any], *arguments: Any, keep: bool = False) -> None:  # noqa: D102
        self._jobs.append((name, function, arguments, keep))

    def next_done(self) -> tuple[Any, Any]:  # noqa: D102
        name, function, arguments, keep = self._jobs.popleft()
        try:
            answer = function(*arguments)
        except Exception as error:
            return name, error
        return name, answer[0] if keep else answer

    def kept(self, name: Any) -> Any:  # noqa: D102
        return None

    def release(self, name: Any) -> None:  # noqa: D102
        pass

    def close(self) -> None:  # noqa: D102
        self._jobs.clear()
