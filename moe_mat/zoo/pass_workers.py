"""Crystals pass through encoders in several processes; what comes back is what one process would have computed."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from pymatgen.core import Structure

from moe_mat.files.processes import process_pool, without_interrupts
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.crystal_passes import CrystalPasses, Passed
from moe_mat.zoo.experts import ExpertLoader

PassOver = Callable[[Mapping[bytes, Structure], Sequence[str]], Callable[[], Passed]]
"""Begins to pass crystals through encoders; what it returns waits for the end."""


@contextmanager
def passes(cards: Mapping[str, Sequence[EncoderCard]], loader: ExpertLoader, *, workers: int) -> Iterator[PassOver]:
    """Processes that pass crystals through encoders, as long as the block lasts.

    Args:
        cards: Encoder's digest to its experts.
        loader: Where they come from.
        workers: Processes. With one, this process does it, when it is asked for the result. Where encoders are on a
            GPU, several prepare crystals for this one, which alone has the GPU.

    Raises:
        ValueError: When there are none.
        OSError: When a process has ended without an answer.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: at least 1 is needed")
    own = CrystalPasses(cards, loader, gpu=loader.on_gpu)
    if workers == 1:
        yield lambda structures, spaces: lambda: own(structures, spaces)
        return
    threads = max(1, torch.get_num_threads() // workers)
    lost = "a process that embeds crystals has ended, perhaps for want of memory: take fewer workers"
    with process_pool(workers, _begin, pickle.dumps((dict(cards), threads, loader.on_gpu)), lost=lost) as pool:
        yield _Submitting(pool, own)


class _Submitting:
    def __init__(self, pool: ProcessPoolExecutor, own: CrystalPasses) -> None:
        self._pool, self._own = pool, own

    def __call__(self, structures: Mapping[bytes, Structure], spaces: Sequence[str]) -> Callable[[], Passed]:
        with without_interrupts():
            future: Future[_Answer] = self._pool.submit(_pass_over, dict(structures), list(spaces))

        def wait() -> Passed:
            answer = future.result()
            for record in answer.records:
                logging.getLogger(record.name).handle(record)
            for message, category in answer.warnings:
                warnings.warn(message, category, stacklevel=2)
            return self._own.finish(answer.passed, pickle.loads(answer.batches), spaces)

        return wait


class _Answer(NamedTuple):
    """What a worker gives back; what it has to tell is told by the process that started it.

    The batches are pickled here: by the pool, their tensors would fill /dev/shm.
    """

    passed: Passed
    batches: bytes
    records: list[logging.LogRecord]
    warnings: list[tuple[str, type[Warning]]]


_passes: CrystalPasses | None = None
"""Of a worker."""
_overheard: list[logging.LogRecord] = []
"""What a worker has logged since its last answer."""


class _Overhear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None  # so that it can be pickled
        _overheard.append(record)


def _begin(pickled: bytes) -> None:
    """Make this process a worker."""
    global _passes
    cards, threads, beside_gpu = pickle.loads(pickled)
    torch.set_num_threads(threads)
    logging.getLogger().addHandler(_Overhear(logging.WARNING))
    _passes = CrystalPasses(cards, ExpertLoader("cpu"), gpu=beside_gpu)


def _pass_over(structures: Mapping[bytes, Structure], spaces: Sequence[str]) -> _Answer:
    assert _passes is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", append=True)
        passed, batches = _passes.begin(structures, spaces)
    records, _overheard[:] = list(_overheard), []
    return _Answer(passed, pickle.dumps(batches), records, [(str(one.message), one.category) for one in caught])
