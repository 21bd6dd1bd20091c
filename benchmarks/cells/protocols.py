"""Protocols: which rows of a task a cell trains, validates and tests on, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.cells.results import Cell
from moe_mat.crystals import Split, random_split
from moe_mat.tasks import N_SPLITS, Task, TaskCards, matbench_folds, splits_digest

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


def resolve_tasks(names: list[str], cards: TaskCards, *, protocol: str) -> list[str]:
    """Names of tasks from the command line: ``all``, our names, or for Matbench's protocol either side's.

    Args:
        names: as given.
        cards: of the tasks.
        protocol: ``published`` or ``matbench``.

    Raises:
        ValueError: there is no such task, or it is not in Matbench.
    """
    known = cards.matbench
    if protocol == "published":
        return cards.names() if names == ["all"] else [cards.load(name).name for name in names]
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


def assign_rows(cell: Cell, task: Task, unit: str) -> Assignment:
    """Pick the rows of a cell.

    Args:
        cell: which split, and how many labels.
        task: that of the cell.
        unit: in which the cell is scored.

    Raises:
        ValueError: the split is not there, or there are fewer labels than asked for.
    """
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
    return Assignment(task, target, rows, unit, sha256)


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
