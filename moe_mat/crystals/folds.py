"""Folds of a cross-validation: random rows, whole groups, or along time; and the validation rows inside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold, TimeSeriesSplit

from moe_mat.crystals.splits import Split, group_split, random_split


class Fold(NamedTuple):
    """One training of a cross-validation.

    Attributes:
        repeat: Which division of the rows, from 0.
        number: Which of its folds, from 0.
        split: Row numbers of each part; the test rows are those of the fold.
    """

    repeat: int
    number: int
    split: Split

    @property
    def name(self) -> str:
        """In words, for messages."""
        return f"repeat {self.repeat}, fold {self.number}"


def make_folds(
    n_rows: int,
    *,
    n_folds: int,
    n_repeats: int = 1,
    seed: int = 0,
    groups: Sequence[object] | None = None,
    times: np.ndarray | None = None,
    validation_fraction: float = 0.15,
    validation_seed: int = 0,
) -> list[Fold]:
    """Divide rows into folds by scikit-learn's splitters.

    At random, each row is tested once a repeat. Along time, the first part of the rows is never tested: each fold is
    trained on all rows that are earlier than its first test row, an expanding window. Rows of one time are not divided
    between training and test.

    Validation rows are whole groups where there are groups, and several of them in training; else the latest rows where
    there are times; else random ones.

    Args:
        n_rows: Number of rows.
        n_folds: Folds of each repeat.
        n_repeats: How often the rows are divided anew.
        seed: Of the first division; those that follow have the seeds that follow.
        groups: What each row belongs to ``[n]``: no group is divided between training and test.
        times: Of each row ``[n]``.
        validation_fraction: Share of the training rows that choose epoch and settings.
        validation_seed: Of which these are.

    Raises:
        ValueError: When there are fewer rows, groups or times than folds need.

    Example:
        >>> [fold.split.test.tolist() for fold in make_folds(6, n_folds=2, times=np.array([1, 2, 3, 4, 5, 6]))]
        [[2, 3], [4, 5]]
    """
    codes = None if groups is None else pd.factorize(np.array([*groups, None], dtype=object)[:-1])[0]
    _check(n_rows, n_folds, n_repeats, codes)
    if times is not None and n_repeats > 1:
        raise ValueError(f"{n_repeats} repeats along time would be the same one: leave out repeats")
    folds = []
    for repeat in range(n_repeats):
        divided = _random(n_rows, n_folds, seed + repeat, codes) if times is None else _along(times, n_folds, codes)
        for number, (train, test) in enumerate(divided):
            if len(train) < 2:
                raise ValueError(
                    f"fold {number} has {len(train)} rows to train and validate on: take fewer folds, or another order "
                    "or group"
                )
            own = _validation(train, validation_fraction, validation_seed, codes, times)
            folds.append(Fold(repeat, number, Split(train[own.train], train[own.val], test)))
    return folds


def _check(n_rows: int, n_folds: int, n_repeats: int, codes: np.ndarray | None) -> None:
    if n_folds < 2:
        raise ValueError(f"folds is {n_folds}: at least 2 are needed")
    if n_repeats < 1:
        raise ValueError(f"repeats is {n_repeats}: at least 1 is needed")
    if n_rows < n_folds:
        raise ValueError(f"{n_rows} crystals cannot be divided into {n_folds} folds: take fewer folds")
    if codes is not None and (n_groups := len(np.unique(codes))) < n_folds:
        raise ValueError(f"{n_groups} groups cannot be divided into {n_folds} folds: take fewer, or group by another")


def _random(n_rows: int, n_folds: int, seed: int, codes: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(n_rows)
    if codes is None:
        return KFold(n_folds, shuffle=True, random_state=seed).split(rows)
    # With one stratum it balances the number of rows, which `GroupKFold` does not where it shuffles.
    return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, np.zeros(n_rows, int), codes)


def _along(times: np.ndarray, n_folds: int, codes: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    order = np.argsort(times, kind="stable")
    if len(order) <= n_folds:
        raise ValueError(f"{len(order)} crystals cannot be divided into {n_folds} folds along time: take fewer folds")
    for _, places in TimeSeriesSplit(n_folds).split(order):
        test = np.sort(order[places])
        train = np.flatnonzero(times < times[test].min())
        if codes is not None:
            train = train[~np.isin(codes[train], codes[test])]
        yield train, test


def _validation(
    train: np.ndarray, share: float, seed: int, codes: np.ndarray | None, times: np.ndarray | None
) -> Split:
    """Which of the training rows are validation rows."""
    fractions = (1 - share, share, 0.0)
    if codes is not None and len(np.unique(codes[train])) > 1:
        return group_split(codes[train].tolist(), fractions=fractions, seed=seed)
    split = random_split(len(train), fractions=fractions, seed=seed)
    if times is None:
        return split
    earlier, latest = np.split(np.argsort(times[train], kind="stable"), [len(split.train)])
    return Split(np.sort(earlier), np.sort(latest), split.test)


def times_of(column: str, table: pd.DataFrame) -> np.ndarray:
    """A column as times that can be compared ``[n]``: numbers, or dates as seconds since 1970.

    Args:
        column: Of numbers, or of dates as ISO 8601 writes them (``2012-05-03``).
        table: The rows.

    Raises:
        ValueError: When there is no such column, or it has no value, or one that is neither number nor date, for a
            crystal; names the crystal.
    """
    if column not in table:
        raise ValueError(f"order is {column!r}, which is no column of the data: there are {', '.join(map(str, table))}")
    values = table[column]
    if (missing := values.isna()).any():
        name = table["material_id"][missing].iloc[0]
        raise ValueError(f"column {column!r} has no value for {int(missing.sum())} crystals, the first is {name!r}")
    numbers = pd.to_numeric(values, errors="coerce")
    if not np.isfinite(numbers).all():
        dates = pd.to_datetime(values.astype(str), errors="coerce", format="ISO8601", utc=True)
        numbers = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    if (strange := ~np.isfinite(numbers)).any():
        name, value = table["material_id"][strange].iloc[0], values[strange].iloc[0]
        raise ValueError(
            f"column {column!r} has no order: {value!r} of crystal {name!r} is no number and no date such as 2012-05-03"
        )
    return numbers.to_numpy(dtype=float)
