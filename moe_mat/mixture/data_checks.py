"""What is wrong with data and split, although every crystal can be used: errors on them would mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.duplicates import same_crystals

# Fewer test rows than these are an anecdote.
FEW_ROWS = 10
# Values of one crystal contradict each other when they differ by more than this share of the training targets' spread.
CONTRADICTION = 0.1


@dataclass(frozen=True)
class DataChecks:
    """What was found.

    Attributes:
        warnings: In words, one line each.
        repeated: Part to the number of its rows whose crystal is in an earlier part as well: a validation row's in
            training, a test row's in either.
        contradicting: Rows whose crystal occurs with another value of a target.
        crystals: The rows whose crystal occurs more than once: ``material_id``, ``part``, ``same_as`` (the first of
            them) and the targets.
    """

    warnings: tuple[str, ...] = ()
    repeated: Mapping[str, int] = field(default_factory=dict)
    contradicting: int = 0
    crystals: pd.DataFrame = field(default_factory=pd.DataFrame)


def check_data(
    structures: Sequence[Structure],
    ids: Sequence[str],
    targets: Tensor,
    rows: Mapping[str, Tensor],
    names: Sequence[str],
    *,
    of_classes: bool = False,
) -> DataChecks:
    """Look for constant targets, too few test rows, and crystals that are in several parts.

    Args:
        structures: The crystals.
        ids: Their names.
        targets: ``[n, n_targets]``, NaN where there is no value.
        rows: Row numbers of each part.
        names: Of the targets.
        of_classes: Whether targets are indicators of classes.
    """
    same = same_crystals(structures)
    part_of_row = np.full(len(ids), "", dtype=object)
    for part, numbers in rows.items():
        part_of_row[numbers.numpy()] = part
    train, val = (set(same[rows[part].numpy()].tolist()) for part in ("train", "val"))
    known = {"val": train, "test": train | val}
    repeated = {part: sum(int(number) in known[part] for number in same[rows[part].numpy()]) for part in known}
    contradicting = _contradicting(same, targets, targets[rows["train"]])
    first = pd.Series(ids).groupby(same).transform("first")
    often = (pd.Series(same).groupby(same).transform("size") > 1).to_numpy() & (part_of_row != "")
    crystals = pd.DataFrame({"material_id": ids, "part": part_of_row, "same_as": first})
    for column, name in enumerate(names):
        crystals[name] = targets[:, column].numpy()
    warnings = [*_about_targets(targets[rows["train"]], names), *_about_size(len(rows["test"]))]
    far = f"with values which differ by more than {CONTRADICTION:.0%} of the training rows' standard deviation"
    differ = "of other classes" if of_classes else far
    warnings += _about_repeats(repeated, {part: len(of) for part, of in rows.items()})
    if contradicting.any():
        warnings.append(f"{contradicting.sum()} rows are crystals that occur more than once {differ}")
    return DataChecks(tuple(warnings), repeated, int(contradicting.sum()), crystals[often].sort_values("same_as"))


def _contradicting(same: np.ndarray, targets: Tensor, train: Tensor) -> np.ndarray:
    """Which rows have a crystal that occurs with values too far apart ``[n]``."""
    found = np.zeros(len(same), dtype=bool)
    for values, spread in zip(targets.double().unbind(1), _spread(train), strict=True):
        of_crystal = pd.Series(values.numpy()).groupby(same)
        distance = of_crystal.transform("max") - of_crystal.transform("min")
        found |= (distance > max(CONTRADICTION * spread, 1e-9)).to_numpy()
    return found


def _spread(train: Tensor) -> list[float]:
    return [float(column[column.isfinite()].double().std(correction=0)) for column in train.unbind(1)]


def _about_targets(train: Tensor, names: Sequence[str]) -> list[str]:
    warnings = []
    for name, values in zip(names, train.unbind(1), strict=True):
        values = values[values.isfinite()]
        if len(values) and torch.equal(values, values[:1].expand(len(values))):
            warnings.append(
                f"target {name} is {values[0]:.6g} in all {len(values)} training rows: there is nothing to learn"
            )
    return warnings


def _about_size(n_test: int) -> list[str]:
    if n_test == 0:
        return ["there are no test rows: nothing tells the error on new crystals"]
    if n_test < FEW_ROWS:
        return [f"{n_test} test rows are few: their errors may be far from those on other crystals"]
    return []


def _about_repeats(repeated: Mapping[str, int], n_rows: Mapping[str, int]) -> list[str]:
    warnings = []
    if any(repeated.values()):
        counts = " and ".join(
            f"{count} of {n_rows[part]} {words} rows"
            for part, words, count in (("test", "test", repeated["test"]), ("val", "validation", repeated["val"]))
            if count
        )
        warnings.append(
            f"{counts} are crystals, by structure, that the model learns from in other rows, which flatters it: "
            "--data.group structure keeps them together"
        )
    return warnings
