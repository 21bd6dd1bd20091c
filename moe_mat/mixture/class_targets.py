"""Classes of crystals that were read from a file, and what a head learns of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from moe_mat.crystals.target_values import in_order
from moe_mat.mixture.class_probabilities import indicators

# More are the names of crystals, or a number that was called a class.
MAX_CLASSES = 100


def classes_of(table: pd.DataFrame, targets: Sequence[str], *, place: str) -> list[str] | None:
    """Names of the classes in a table that was read, in order; ``None`` where the targets are numbers.

    Args:
        table: As `moe_mat.read_structures` gives it.
        targets: Its target columns.
        place: Where it comes from, for messages.

    Raises:
        ValueError: When a class is one of several targets, or there is one class alone, or far too many.
    """
    named = [target for target in targets if not pd.api.types.is_numeric_dtype(table[target])]
    if not named:
        return None
    if len(targets) > 1:
        raise ValueError(
            f"{place}: {', '.join(named)} is a class, and a class is predicted alone: name it as the only target, or "
            "give its values as numbers with --data.kind number"
        )
    classes = in_order(table[named[0]])
    if len(classes) == 1:
        raise ValueError(f"{place}: all crystals are of the {named[0]} {classes[0]!r}: there is nothing to learn")
    if len(classes) > max(2, len(table) // 2):
        raise ValueError(
            f"{place}: {named[0]} is not a number, and no class either: {len(classes)} different texts in {len(table)} "
            f"rows, the first of them {', '.join(classes[:3])}: name another target"
        )
    if len(classes) > MAX_CLASSES:
        raise ValueError(
            f"{place}: {named[0]} has {len(classes)} different values in {len(table)} rows, and a class at most "
            f"{MAX_CLASSES}, the first of them {', '.join(classes[:3])}: name another target, or --data.kind number"
        )
    return classes


def targets_of(table: pd.DataFrame, targets: Sequence[str], classes: Sequence[str] | None, *, place: str) -> Tensor:
    """What a head learns of crystals ``[n, n_columns]``.

    Args:
        table: As `moe_mat.read_structures` gives it.
        targets: Its target columns.
        classes: Of the target; ``None`` where the targets are numbers.
        place: Where it comes from, for messages.

    Raises:
        ValueError: When a crystal is of a class that is none of these; names it.
    """
    if classes is None:
        if named := classes_of(table, targets, place=place):
            raise ValueError(
                f"{place}: {targets[0]} is a class ({', '.join(named[:3])}), and a number is needed: name another "
                "target, or, for booleans as 0 and 1, --data.kind number"
            )
        return torch.tensor(table[list(targets)].to_numpy(dtype=np.float32))
    target = targets[0]
    numbers = pd.Categorical(table[target], categories=list(classes)).codes
    if (strange := numbers < 0).any():
        first = table[strange].iloc[0]
        raise ValueError(
            f"{place}: crystal {first['material_id']} is of the {target} {first[target]!r}, and the classes of the "
            f"model are {', '.join(classes)}: correct it, leave it out, or train a model with that class"
        )
    return indicators(torch.from_numpy(np.array(numbers, dtype=np.int64)), len(classes))
