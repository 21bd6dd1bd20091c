"""Protocols: which rows of a task a cell trains, validates and tests on, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.cells.results import Cell
from benchmarks.tasks import N_SPLITS, Task, TaskCard, list_tasks, load_task, matbench_folds, read_task, splits_digest
from moe_mat.crystals.splits import Split, random_split

# Share of the labels that choose epochs and settings, where no validation rows are given.
VALIDATION_SHARE = 0.15
FEW_LABELS_VALIDATION_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a cell works on.

    Attributes:
        task: with crystals and target.
        target: ``[n]``, in the unit in which the cell is scored.
        rows: row numbers of train, val and test.
        unit: of the target.
        splits_sha256: digest of all splits of the protocol.
    """

    task: Task
    target: np.ndarray
    rows: Split
    unit: str
    splits_sha256: str


def matbench_tasks() -> dict[str, str]:
    """Name in Matbench -> our name of the task with the same rows."""
    cards = [load_task(name) for name in list_tasks()]
    return {card.matbench.name: card.name for card in cards if card.matbench is not None}


def card_of(task: str) -> TaskCard:
    """The card of a task, also by its name in Matbench."""
    return load_task(matbench_tasks().get(task, task))


def unit_of(task: str) -> str:
    """Unit of the numbers of a cell: Matbench scores raw values, the publications transformed ones."""
    card = card_of(task)
    transform, unit = card.recipe.transform, card.unit
    if task != card.name or transform == "none":
        return unit
    return transform.replace("x", unit) if "x" in transform else transform if unit == "1" else f"{transform} {unit}"


def resolve_tasks(names: list[str], *, protocol: str) -> list[str]:
    """Names of tasks from the command line: ``all``, our names, or for Matbench's protocol either side's.

    Raises:
        ValueError: there is no such task, or it is not in Matbench.
    """
    known = matbench_tasks()
    if protocol == "published":
        return list_tasks() if names == ["all"] else [load_task(name).name for name in names]
    if names == ["all"]:
        return list(known)
    ours = {own: theirs for theirs, own in known.items()}
    resolved = []
    for name in names:
        if name not in known and name not in ours:
            raise ValueError(
                f"Task {name} is not in Matbench; there are {', '.join(f'{a} ({b})' for a, b in known.items())}"
            )
        resolved.append(ours.get(name, name))
    return resolved


def assign(cell: Cell, folder: Path | None) -> Assignment:
    """Read a cell's task and pick its rows.

    Raises:
        TaskDataError: the data are missing or not what the card says.
        ValueError: the split is not there, or there are fewer labels than asked for.
    """
    card = card_of(cell.task)
    return assign_rows(cell, read_task(card.name, folder=folder))


def assign_rows(cell: Cell, task: Task) -> Assignment:
    """As `assign`, with a task that has been read."""
    if not 0 <= cell.split < N_SPLITS:
        raise ValueError(f"{cell.task} has splits 0 to {N_SPLITS - 1}, not {cell.split}")
    target, splits, sha256 = task.target, task.splits, task.splits_sha256
    if cell.task != task.card.name:
        target = task.card.to_raw(task.target)
        splits = tuple(
            _matbench_split(train, test, fold) for fold, (train, test) in enumerate(matbench_folds(len(target)))
        )
        sha256 = splits_digest(splits)
    rows = splits[cell.split]
    if cell.n_labels is not None:
        rows = few_labels(rows, cell.n_labels, seed=[cell.seed, cell.split])
    return Assignment(task, target, rows, unit_of(cell.task), sha256)


def _matbench_split(train: np.ndarray, test: np.ndarray, fold: int) -> Split:
    """A fold, of whose training rows a seeded part is set aside for validation."""
    inner = random_split(len(train), fractions=(1 - VALIDATION_SHARE, VALIDATION_SHARE, 0.0), seed=fold)
    return Split(train[inner.train], train[inner.val], test)


def few_labels(rows: Split, n_labels: int, *, seed: list[int]) -> Split:
    """Pretend that only some labels are known: a fifth of them validates; fewer labels are part of more labels.

    Validation labels count, because methods choose by them and may train on them in the end.

    Raises:
        ValueError: when there are not so many labels, or too few to validate with.
    """
    if n_labels < 3 or n_labels > len(rows.train) + len(rows.val):
        raise ValueError(
            f"{n_labels} labels: use 3 to {len(rows.train) + len(rows.val)}, training and validation together"
        )
    n_val = min(max(1, round(FEW_LABELS_VALIDATION_SHARE * n_labels)), len(rows.val))
    n_train = n_labels - n_val
    if n_train > len(rows.train):
        n_train, n_val = len(rows.train), n_labels - len(rows.train)
    random = np.random.default_rng(seed)
    train, val = random.permutation(rows.train), random.permutation(rows.val)
    return Split(train[:n_train], val[:n_val], rows.test)
