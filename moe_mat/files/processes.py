"""Processes that work for this one: they are given what they need once, and end when it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from moe_mat.files.allocator import keep_freed_memory


class LostProcessError(OSError):
    """A process has ended without an answer."""


@contextmanager
def process_pool(
    workers: int, begin: Callable[[bytes], None], given: bytes, *, lost: str
) -> Iterator[ProcessPoolExecutor]:
    """Processes, which are killed where the block ends by an exception.

    They are spawned, because a fork of a process with threads may hang, and start with the first tasks: submit these
    within `without_interrupts`.

    Args:
        workers: How many.
        begin: Called once in each.
        given: What it is called with, pickled: pickled by the pool, tensors would fill /dev/shm.
        lost: What to say when a process has ended without an answer.

    Raises:
        LostProcessError: When one has.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(begin, given))
    finished = False
    try:
        yield pool
        finished = True
    except BrokenProcessPool as error:
        raise LostProcessError(lost) from error
    finally:
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
        pool.shutdown(cancel_futures=True)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes that ignore SIGINT, which a terminal sends to all: the one that started them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _begin(begin: Callable[[bytes], None], given: bytes) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    begin(given)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
