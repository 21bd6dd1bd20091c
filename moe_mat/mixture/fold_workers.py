"""Folds in parallel: processes that are given the data once, and end when the one that started them does."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import NamedTuple

from moe_mat.crystals.folds import Fold
from moe_mat.mixture.fold_training import FoldTraining
from moe_mat.mixture.report import RunReport


class _Trained(NamedTuple):
    """What a worker gives back; its warnings are told by the process that started it."""

    report: RunReport
    warnings: list[tuple[str, type[Warning]]]


def train_folds(
    training: FoldTraining, folds: Sequence[Fold], *, workers: int
) -> Generator[tuple[Fold, RunReport], None, None]:
    """Train folds, several at a time; each comes when it is done.

    Args:
        training: What they have in common.
        folds: Those to train.
        workers: Processes. With one, all is done in this process.

    Raises:
        ValueError: When one cannot be trained; names it.
        OSError: When a process has ended without an answer.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: at least 1 is needed")
    if min(workers, len(folds)) < 2:
        yield from ((fold, training(fold)) for fold in folds)
        return
    before = set(multiprocessing.active_children())
    # Spawned, because a fork of a process with threads may hang; pickled here, or tensors would fill /dev/shm.
    pool = ProcessPoolExecutor(
        min(workers, len(folds)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(pickle.dumps(training),),
    )
    finished = False
    try:
        with _without_interrupts():
            tasks: dict[Future[_Trained], Fold] = {pool.submit(_train, fold): fold for fold in folds}
        for task in as_completed(tasks):
            trained = task.result()
            for message, category in trained.warnings:
                warnings.warn(message, category, stacklevel=2)
            yield tasks[task], trained.report
        finished = True
    except BrokenProcessPool as error:
        reason = "a process that trained a fold has ended, perhaps for want of memory: take fewer workers"
        raise OSError(reason) from error
    finally:
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that ignore SIGINT, which a terminal sends to all: the one that started them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


_training: FoldTraining | None = None
"""Of a worker."""


def _begin(pickled: bytes) -> None:
    """Make this process a worker."""
    global _training
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _training = pickle.loads(pickled)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _train(fold: Fold) -> _Trained:
    assert _training is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", append=True)
        report = _training(fold)
    return _Trained(report, [(str(one.message), one.category) for one in caught])
