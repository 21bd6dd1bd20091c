"""What shows that a table is the task it says it is: its number of rows, and the moments of its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a table is the task it says it is.

    Attributes:
        n_rows: number of crystals.
        mean: mean of the target, after the task's transform.
        std: standard deviation of the target (divided by n), after the transform.
    """

    n_rows: int
    mean: float
    std: float

    @classmethod
    def of(cls, target: Sequence[float] | np.ndarray | pd.Series) -> Self:
        """The evidence in a table."""
        values = np.asarray(target, dtype=float)
        return cls(len(values), float(values.mean()), float(values.std()))

    def contradiction(self, other: Self) -> str | None:
        """What differs in `other`, as a sentence; None if it is the same data to six digits."""
        if self.n_rows != other.n_rows:
            return f"{other.n_rows} rows where the card says {self.n_rows}"
        for name in ("mean", "std"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.isclose(theirs, mine, rtol=1e-6, atol=1e-9):
                return f"a target {name} of {theirs:.8g} where the card says {mine:.8g}"
        return None
