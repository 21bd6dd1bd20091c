"""Weights of crystals: how much the value of each counts in what is learned.

A crystal of weight 2 counts as two of weight 1 do, as if it had been measured twice: in the Gaussian process the
variance of its noise is half of theirs. Only the ratios of weights matter, because noise and penalties are learned.
Crystals of weight 0 are not learned from.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from torch import Tensor

LEARNED = ("train", "val")


def given_weights(weights: ArrayLike | None, n_crystals: int, *, name: str = "sample_weight") -> Tensor | None:
    """Weights ``[n]`` in double precision.

    Raises:
        ValueError: When there are more or fewer than crystals, one is negative or not finite, or all are 0.
    """
    if weights is None:
        return None
    try:
        values = np.asarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds something that is no number: {error}") from error
    if values.ndim == 0:
        values = np.full(n_crystals, values)
    if values.shape != (n_crystals,):
        raise ValueError(f"{n_crystals} crystals need {name} of shape [n], not of shape {values.shape}")
    if (bad := ~(np.isfinite(values) & (values >= 0))).any():
        row = int(bad.argmax())
        raise ValueError(f"{name} of crystal {row} is {values[row]}: weights are finite and not negative")
    if n_crystals and not values.any():
        raise ValueError(f"{name} is 0 for all crystals: none is left to learn from")
    return torch.from_numpy(values.copy())


def joined_weights(parts: Sequence[Tensor | None], sizes: Sequence[int]) -> Tensor | None:
    """Weights of several lists of crystals as one, 1 where only others have any; ``None`` where none do."""
    if all(part is None for part in parts):
        return None
    ones = (torch.ones(size, dtype=torch.double) for size in sizes)
    return torch.cat([one if part is None else part for part, one in zip(parts, ones, strict=True)])


def weights_of_column(table: pd.DataFrame, column: str) -> tuple[np.ndarray, dict[int, str]]:
    """Weights ``[n]`` in a column of a table, and row to what is wrong with the weight, where something is.

    Raises:
        ValueError: When there is no such column; names those that there are.
    """
    if column not in table:
        close = difflib.get_close_matches(column, map(str, table.columns), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(map(str, table.columns))}"
        raise ValueError(f"weight_column is {column!r}, which is no column of the data: {hint}")
    weights = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    values = table[column]
    reasons = {
        row: "no value" if pd.isna(values.iloc[row]) else f"the weight is {reprlib.repr(values.iloc[row])}"
        for row in bad.tolist()
    }
    return weights, reasons


def weighed(
    structures: Sequence[Structure], table: pd.DataFrame, column: str, refuse: Callable[[str, str], None]
) -> tuple[list[Structure], pd.DataFrame]:
    """The crystals that have a weight, and their rows, with it as a number.

    Args:
        structures: ``[n]``.
        table: A row for each.
        column: Of the weights.
        refuse: Called with name and reason for each crystal that has none; it is left out, unless this raises.
    """
    weights, problems = weights_of_column(table, column)
    for row, reason in problems.items():
        refuse(str(table["material_id"].iloc[row]), f"{reason}: a weight is a number that is not negative")
    kept = [row for row in range(len(table)) if row not in problems]
    return [structures[row] for row in kept], table.assign(**{column: weights}).iloc[kept].reset_index(drop=True)


def weightless_crystals(weights: Tensor | None) -> list[str]:
    """What to say of crystals of weight 0, where every one is tested."""
    n = 0 if weights is None else int((weights == 0).sum())
    return [f"{n} crystals have weight 0: they are tested, and not learned from"] if n else []


def weightless_rows(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """What to say of the rows that `without_weightless` has taken away, a line a part."""
    return [
        f"{n} of {len(rows)} {part} rows have weight 0 and are not learned from"
        for part, rows in before.items()
        if (n := len(rows) - len(after[part]))
    ]


def without_weightless(rows: Mapping[str, Tensor], weights: Tensor | None) -> dict[str, Tensor]:
    """Row numbers of each part, where rows of weight 0 are not among those that are learned from.

    Args:
        rows: Of ``train``, ``val`` and ``test``.
        weights: Of all crystals ``[n]``.

    Raises:
        ValueError: When no row of a part is left.
    """
    if weights is None:
        return dict(rows)
    kept = {part: of_part[weights[of_part] > 0] if part in LEARNED else of_part for part, of_part in rows.items()}
    if empty := [part for part in LEARNED if len(rows.get(part, ())) and not len(kept[part])]:
        raise ValueError(f"all {' and '.join(empty)} rows have weight 0: none is left to learn from")
    return kept


def relative_weights(rows: Mapping[str, Tensor], weights: Tensor | None) -> Tensor | None:
    """Weights ``[n]`` with the mean 1 over the training rows; ``None`` where all that are learned from are alike.

    Args:
        rows: Of ``train``, ``val`` and ``test``, without those of weight 0.
        weights: Of all crystals ``[n]``.
    """
    if weights is None:
        return None
    learned = weights[torch.cat([rows[part] for part in LEARNED if part in rows])]
    if not len(learned) or bool((learned == learned[0]).all()):
        return None
    return (weights / weights[rows["train"]].mean()).float()


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the last dimension ``[..., n]``."""
    return values.mean(-1) if weights is None else (values * weights).sum(-1) / weights.sum()
