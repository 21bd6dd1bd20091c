"""What a worker does: embed the crystals of some tasks, or run one cell. A failure is an answer, and is not raised."""

from __future__ import annotations

import functools
import logging
import platform
import resource
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from benchmarks.cells.protocols import assign_rows
from benchmarks.cells.results import Cell, Result, failed_result, rounded
from benchmarks.methods.cards import Method
from benchmarks.methods.problem import Outcome, Problem
from moe_mat.crystals import structure_key
from moe_mat.files import commit
from moe_mat.mixture import LEVELS, judge
from moe_mat.tasks import Task, TaskCards, read_task
from moe_mat.zoo import EmbeddingCache, EmbeddingOrder, PooledLayers, embed, find_cards

PACKAGES = ("moe_mat", "torch", "pytorch-lightning", "scikit-learn", "numpy", "pymatgen", "matminer")
# Of baselines, where they are installed.
OPTIONAL = ("lightgbm",)


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What is the same for all cells of a sweep.

    Attributes:
        data: folder of prepared data.
        cards: of the tasks.
        noted: what every result notes: commit, versions, machine.
    """

    data: Path
    cards: TaskCards
    noted: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class EmbeddedTasks:
    """What embedding the crystals of a group of tasks gave.

    Attributes:
        seconds: task -> time to read and embed it.
        fidelity: task -> where its rows and splits come from.
        problems: task -> why it cannot be used, with traceback.
        warnings: of the library meanwhile.
    """

    seconds: dict[str, float]
    fidelity: dict[str, str]
    problems: dict[str, tuple[str, str]]
    warnings: list[str]


Rows = dict[str, dict[bytes, PooledLayers]]
"""Encoder -> structure key -> pooled layers, for workers that do not share the cache of the one that made them."""


def embed_tasks(
    names: Sequence[str], experts: Sequence[str], context: SweepContext, collect: bool
) -> tuple[EmbeddedTasks, Rows]:
    """Read tasks, check them against their cards, and fill the cache with the embeddings of their crystals.

    Args:
        names: tasks with crystals in common.
        experts: tags or card files.
        context: of the sweep.
        collect: whether other workers need the embeddings.

    Returns:
        What it gave, and the embeddings, if they are needed.
    """
    torch.set_num_threads(1)
    embedded, rows = EmbeddedTasks({}, {}, {}, []), Rows()
    with _warnings() as warnings:
        for name in names:
            start = time.perf_counter()
            try:
                task = _read(name, context)
                embedded.fidelity[name] = task.fidelity
                if experts:
                    _embed(task.structures, experts, rows if collect else None)
            except Exception as error:  # whatever it is, it belongs to this task's cells and not to the others'
                embedded.problems[name] = (f"{type(error).__name__}: {error}", traceback.format_exc())
            embedded.seconds[name] = time.perf_counter() - start
    embedded.warnings.extend(dict.fromkeys(warnings))
    return embedded, rows


def run_cell(cell: Cell, method: Method, context: SweepContext, shared: Rows | None = None) -> Result:
    """Run a cell: its result, or the record of its failure."""
    torch.set_num_threads(1)
    noted = {"method_digest": method.digest, **context.noted}
    try:
        if shared is not None:
            _store(shared)
        return _run(cell, method, context, noted)
    except Exception as error:  # a cell must not stop the others
        return failed_result(cell, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc(), **noted)


def _run(cell: Cell, method: Method, context: SweepContext, noted: Mapping[str, object]) -> Result:
    task = _read(cell.task, context)
    work = assign_rows(cell, task, context.cards.unit(cell.task))
    rows, target = work.rows, work.target

    def crystals(part: np.ndarray) -> list[Structure]:
        return [task.structures[row] for row in part]

    problem = Problem(
        (crystals(rows.train), target[rows.train]),
        (crystals(rows.val), target[rows.val]),
        crystals(rows.test),
        cell.seed,
    )
    run = method.load()  # importing it is no work on the problem
    reset_peak_memory()
    with _warnings() as warnings:
        start = time.perf_counter()
        outcome = run(problem)
        seconds = time.perf_counter() - start
    predictions, true = np.asarray(outcome.predictions, dtype=float), target[rows.test]
    if predictions.shape != true.shape or not np.isfinite(predictions).all():
        raise ValueError(f"{method.name} gave predictions of shape {predictions.shape}, or not finite ones")
    return {
        **asdict(cell),
        "status": "finished",
        "val_mae": float(outcome.val_mae),
        "test_mae": float(np.abs(predictions - true).mean()),
        "seconds": round(seconds, 3),
        "unit": work.unit,
        "rows": {part: len(getattr(rows, part)) for part in ("train", "val", "test")},
        "peak_memory_mib": round(peak_memory()),
        "experts": [card.tag for card in find_cards(list(method.experts))] if method.experts else [],
        "settings": dict(method.settings),
        "chosen": dict(outcome.chosen),
        "tried": [dict(one) for one in outcome.tried],
        "gate_weights": {tag: float(f"{w:.4g}") for tag, w in (outcome.gate_weights or {}).items()},
        "ids": task.table["material_id"].astype(str).to_numpy()[rows.test].tolist(),
        "targets": rounded(true),
        "predictions": rounded(predictions),
        "std": None if outcome.std is None else rounded(outcome.std),
        **_uncertainty(outcome, true),
        "fidelity": task.fidelity,
        "splits_sha256": work.splits_sha256,
        "warnings": warnings,
        **({"environment": dict(outcome.environment)} if outcome.environment else {}),
        **noted,
    }


def _uncertainty(outcome: Outcome, true: np.ndarray) -> dict[str, object]:
    """Of a method that knows its own: lower and upper bounds by level in per cent, and how good they are."""
    if outcome.std is None or outcome.bounds is None:
        return {}
    lower, upper = (np.asarray(side, dtype=float) for side in outcome.bounds)
    judged = judge(
        true, np.asarray(outcome.predictions, dtype=float), np.asarray(outcome.std, dtype=float), lower, upper
    )
    intervals = {
        f"{100 * level:g}": [rounded(lower[:, number]), rounded(upper[:, number])]
        for number, level in enumerate(LEVELS)
    }
    known = {name: value for name, value in judged.scores.items() if np.isfinite(value)}
    return {"intervals": intervals, "uncertainty": {name: float(f"{value:.6g}") for name, value in known.items()}}


@functools.lru_cache(maxsize=2)
def _cached(name: str, data: Path, cards: TaskCards) -> Task:
    return read_task(cards.load(name), data)


def _read(name: str, context: SweepContext) -> Task:
    """A task, by its name here or in Matbench; a worker runs many cells of one before it sees the next."""
    return _cached(context.cards.of(name).name, context.data, context.cards)


def _embed(structures: Sequence[Structure], experts: Sequence[str], collected: Rows | None) -> None:
    cards = find_cards(list(experts))
    with EmbeddingCache() as cache:
        embed(cards, structures, cache=cache)
        if collected is not None:
            keys = [structure_key(structure) for structure in structures]
            for space in EmbeddingOrder.of(cards).passes:  # the cache holds only what sees crystals
                collected.setdefault(space, {}).update(cache.get_many(space, keys))


def _store(shared: Rows) -> None:
    """Put embeddings from another machine into this one's cache, once."""
    with EmbeddingCache() as cache:
        for space, values in shared.items():
            known = cache.get_many(space, list(values))
            cache.put_many(space, {key: value for key, value in values.items() if key not in known})


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Warnings of the library while a cell runs, for its result: a worker has no terminal."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger("moe_mat")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def reset_peak_memory() -> None:
    """Begin a new peak. Linux only; elsewhere the peak stays that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Largest resident memory since the last reset, MiB."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 1024**2 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def provenance() -> dict[str, object]:
    """Versions, machine and commit, for every result."""
    packages = [*PACKAGES, *(name for name in OPTIONAL if find_spec(name))]
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": f"{platform.machine()} {platform.system()}",
        "commit": commit(),
    }
