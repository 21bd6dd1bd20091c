"""The recipe of a task: which rows of a matminer data set, and which target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "none": (np.asarray, np.asarray),
    "ln": (np.log, np.exp),
    "ln(1+x)": (np.log1p, np.expm1),
}
"""Name -> (from the raw target to the task's target, back)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Structures for a table of formulas.

    Attributes:
        dataset: matminer data set that has them.
        left: column of the table with the ids of the structures.
        right: column of `dataset` with the same ids.
    """

    dataset: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecipe:
    """How a task is made from a matminer data set.

    Attributes:
        dataset: matminer data set.
        target: columns whose mean is the target; usually one.
        transform: a key of `TRANSFORMS`, applied to the target.
        material_id: column of the ids; without one, ids are the data set's name and the row.
        positive: columns that must be above zero; a missing value is not.
        join: where the structures come from, if the data set has none.
        exact: whether this gives the rows of the task's evidence, or other ones (a newer or older source).
    """

    dataset: str
    target: tuple[str, ...]
    transform: str = "none"
    material_id: str | None = None
    positive: tuple[str, ...] = ()
    join: Join | None = None
    exact: bool = True

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """A recipe from a task card.

        Raises:
            ValueError: a key or transform that is not known.
        """
        if unknown := set(content) - {field.name for field in fields(cls)}:
            raise ValueError(f"A recipe has no {', '.join(sorted(unknown))}; it has {[f.name for f in fields(cls)]}")
        if content.get("transform", "none") not in TRANSFORMS:
            raise ValueError(f"There is no transform {content['transform']!r}, only {', '.join(TRANSFORMS)}")
        join = content.get("join")
        return cls(
            **{
                **content,
                "target": tuple(content["target"]),
                "positive": tuple(content.get("positive", ())),
                "join": Join(**join) if join else None,
            }
        )
