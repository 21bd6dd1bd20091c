"""Folds in parallel: processes that are given the data once, and end when the one that started them does."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import Future, as_completed
from typing import NamedTuple

from moe_mat.crystals.folds import Fold
from moe_mat.files.processes import process_pool, without_interrupts
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
    lost = "a process that trained a fold has ended, perhaps for want of memory: take fewer workers"
    with process_pool(min(workers, len(folds)), _begin, pickle.dumps(training), lost=lost) as pool:
        with without_interrupts():
            tasks: dict[Future[_Trained], Fold] = {pool.submit(_train, fold): fold for fold in folds}
        for task in as_completed(tasks):
            trained = task.result()
            for message, category in trained.warnings:
                warnings.warn(message, category, stacklevel=2)
            yield tasks[task], trained.report


_training: FoldTraining | None = None
"""Of a worker."""


def _begin(pickled: bytes) -> None:
    """Make this process a worker."""
    global _training
    _training = pickle.loads(pickled)


def _train(fold: Fold) -> _Trained:
    assert _training is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", append=True)
        report = _training(fold)
    return _Trained(report, [(str(one.message), one.category) for one in caught])
