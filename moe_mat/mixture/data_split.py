"""Which rows of a table train, validate and test, by the settings of the data."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from moe_mat.crystals.splits import Split, group_split, random_split, read_split, stratified_split
from moe_mat.mixture.settings import DataSettings


def split_rows(
    table: pd.DataFrame,
    settings: DataSettings,
    *,
    groups: Sequence[object] | None = None,
    classes: Sequence[object] | None = None,
    left_out: Collection[str | None] = (),
) -> Split:
    """Split the rows of a table.

    Args:
        table: As `moe_mat.read_structures` gives it ``[n]``.
        settings: A file of splits, or the seed and shares of a random one.
        groups: What each row belongs to ``[n]``, to be kept in one part.
        classes: Of which each part is to have its share ``[n]``, where there are no groups.
        left_out: Ids of the crystals that reading left out.

    Raises:
        ValueError: See `moe_mat.crystals.splits`.
    """
    if settings.splits:
        return read_split(settings.splits, settings.split, table, left_out=left_out)
    if groups is not None:
        return group_split(groups, fractions=settings.fractions, seed=settings.split)
    if classes is not None:
        return stratified_split(classes, fractions=settings.fractions, seed=settings.split)
    return random_split(len(table), fractions=settings.fractions, seed=settings.split)


def n_learned_rows(table: pd.DataFrame, settings: DataSettings, *, left_out: Collection[str | None] = ()) -> int:
    """How many rows train and validate; arguments as of `split_rows`."""
    if settings.splits is None:
        return round((1 - settings.fractions[2]) * len(table))
    split = read_split(settings.splits, settings.split, table, left_out=left_out)
    return len(split.train) + len(split.val)
