"""Splits into train, validation and test rows: seeded random ones, by row or group, and published ones from a file."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

PARTS = ("train", "val", "test")


class Split(NamedTuple):
    """Row numbers of each part."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def random_split(n_rows: int, *, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0) -> Split:
    """Split rows at random.

    Args:
        n_rows: Number of rows.
        fractions: Shares of train, validation and test rows; they sum to 1.
        seed: The same seed gives the same split.

    Raises:
        ValueError: When the shares do not sum to 1 or leave no training or validation row.
    """
    n_train, n_val, _ = _sizes(n_rows, fractions)
    order = np.random.default_rng(seed).permutation(n_rows)
    return Split(*(np.sort(part) for part in np.split(order, [n_train, n_train + n_val])))


def _sizes(n_rows: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"the fractions {fractions} are not shares that sum to 1")
    n_val, n_test = (max(round(share * n_rows), share > 0) for share in fractions[1:])
    n_train = n_rows - n_val - n_test
    if n_train < 1 or n_val < 1:
        raise ValueError(f"{n_rows} rows are too few to split into {fractions}: at least one must be for validation")
    return n_train, n_val, n_test


def stratified_split(
    labels: Sequence[object], *, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Split:
    """Split rows at random so that each part has its share of every class; the first row of a class is for training.

    Args:
        labels: The class of each row ``[n]``.
        fractions: Shares of train, validation and test rows; they sum to 1.
        seed: The same seed gives the same split.

    Raises:
        ValueError: When the shares do not sum to 1 or leave no training or validation row.

    Example:
        >>> stratified_split(["a", "a", "a", "a", "b", "b", "b", "b"], fractions=(0.5, 0.25, 0.25)).test.tolist()
        [0, 5]
    """
    sizes = np.array(_sizes(len(labels), fractions))
    codes = pd.factorize(np.array([*labels, None], dtype=object)[:-1])[0]
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(codes[order], kind="stable")]
    lacking, part_of_row = sizes.astype(float), np.empty(len(labels), dtype=int)
    for position, row in enumerate(order):
        # What each part should have by now, less what it has: a class that begins does so in the training rows.
        due = sizes * (position + 1) / len(labels) - (sizes - lacking)
        first = position == 0 or codes[row] != codes[order[position - 1]]
        part = 0 if first and lacking[0] > 0 else int(np.where(lacking > 0, due, -np.inf).argmax())
        part_of_row[row], lacking[part] = part, lacking[part] - 1
    return Split(*(np.flatnonzero(part_of_row == part) for part in range(3)))


def group_split(
    groups: Sequence[object], *, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Split:
    """Split rows at random so that all rows of a group are in one part.

    Groups come in random order, after those that are large beside the smallest part, and each goes to the part that
    lacks the most rows: the shares are met as closely as the groups allow.

    Args:
        groups: What each row belongs to ``[n]``.
        fractions: Shares of train, validation and test rows; they sum to 1.
        seed: The same seed gives the same split.

    Raises:
        ValueError: When the shares do not sum to 1, or there are too few groups for the parts.

    Example:
        >>> group_split(["a", "a", "b", "b", "c", "c", "d", "d"], fractions=(0.5, 0.25, 0.25)).train.tolist()
        [0, 1, 4, 5]
    """
    lacking = list(_sizes(len(groups), fractions))
    empty = {part for part in range(3) if lacking[part]}
    codes, names = pd.factorize(np.array([*groups, None], dtype=object)[:-1])
    if len(names) < len(empty):
        raise ValueError(f"{len(names)} groups are too few for {len(empty)} parts: group by something finer")
    counts = np.bincount(codes)
    large = min(lacking[part] for part in empty) / 4
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    order.sort(key=lambda group: -counts[group] if counts[group] > large else 0)
    part_of_group = np.empty(len(names), dtype=int)
    for number, group in enumerate(order):
        # The last groups are for parts that have none yet.
        candidates = sorted(empty) if len(names) - number <= len(empty) else range(3)
        part = max(candidates, key=lambda one: lacking[one])
        part_of_group[group] = part
        lacking[part] -= counts[group]
        empty.discard(part)
    return Split(*(np.flatnonzero(part_of_group[codes] == part) for part in range(3)))


def read_split(
    path: str | Path, name: int | str, table: pd.DataFrame, *, left_out: Collection[str | None] = ()
) -> Split:
    """Read one split from a JSON file ``{"0": {"train": [...], "val": [...], "test": [...]}, ...}``.

    Args:
        path: The file.
        name: Which split.
        table: The rows as `moe_mat.read_structures` gives them. Entries that are strings are matched with its
            ``material_id``; numbers with its column ``row``, or with the rows' own numbers where it has none.
        left_out: Ids of the crystals that reading left out; they may be in the file.

    Raises:
        ValueError: When the split is not there, a part is missing, a row is named twice, a row is not in the table, or
            no row is left to train or to validate on.
    """
    try:
        splits = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error
    other_form = ValueError(f'{path} is not of the form {{"0": {{"train": [...], "val": [...], "test": [...]}}}}')
    if not isinstance(splits, dict):
        raise other_form
    if str(name) not in splits:
        raise ValueError(f"{path} has no split {name!r}; it has {', '.join(splits)}")
    parts = splits[str(name)]
    if not isinstance(parts, dict):
        raise other_form
    if missing := [part for part in PARTS if part not in parts]:
        raise ValueError(f"split {name} of {path} has no {', '.join(missing)} rows")
    if not all(isinstance(parts[part], list) for part in PARTS):
        raise other_form
    named = [entry for part in PARTS for entry in parts[part]]
    if not all(isinstance(entry, (str, int)) for entry in named):
        raise other_form
    if len(set(named)) < len(named):
        twice = next(entry for entry in named if named.count(entry) > 1)
        raise ValueError(f"split {name} of {path} names row {twice!r} more than once")

    numbers = all(isinstance(entry, int) for entry in named)
    if numbers and "row" not in table and left_out:
        raise ValueError(
            f"{path} counts rows, and rows were left out of a table that has no column 'row': "
            "use material ids in the split file, or repair the rows"
        )
    column = table["material_id"] if not numbers else table["row"] if "row" in table else pd.Series(table.index)
    position = {entry: at for at, entry in enumerate(column.tolist())}
    unknown = [entry for entry in named if entry not in position]
    # Row numbers do not tell which crystal they were, so as many may be missing as were left out.
    excused = len(left_out) if numbers else sum(entry in left_out for entry in unknown)
    if len(unknown) > excused:
        raise ValueError(f"split {name} of {path} names rows that the data do not have: {unknown[:5]}")
    split = Split(*(np.array([position[e] for e in parts[part] if e in position], dtype=int) for part in PARTS))
    if not len(split.train) or not len(split.val):
        raise ValueError(f"split {name} of {path} leaves no training or no validation rows")
    return split
