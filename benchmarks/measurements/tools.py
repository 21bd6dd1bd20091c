"""What measurements share: the crystals of a task, a stopwatch, an empty cache, and what the console shows."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cells.protocols import Assignment, assign_rows
from benchmarks.cells.results import Cell
from moe_mat.files import CACHE_VARIABLE
from moe_mat.tasks import TaskCards, read_task
from moe_mat.zoo import find_cards


def assignment(options: argparse.Namespace) -> Assignment:
    """The task and split of a command line."""
    cards = TaskCards()
    task = read_task(cards.of(options.task), options.data)
    return assign_rows(Cell(options.task, options.split, "speed"), task, cards.unit(options.task))


def names_of(names: Sequence[str]) -> list[str]:
    """The experts of a command line, or else the default ones."""
    return [card.reference for card in find_cards(list(names) or "default")]


def timed(run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - start, result


@contextmanager
def cold_cache() -> Iterator[None]:
    """An empty embedding cache, for once."""
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[CACHE_VARIABLE]
            if before is not None:
                os.environ[CACHE_VARIABLE] = before


def resident_memory() -> float:
    """Resident memory now, MiB; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
