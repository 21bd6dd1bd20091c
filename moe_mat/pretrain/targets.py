"""Targets of source data: properties, how their values are cleaned, and what networks learn of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.expressions import evaluate_expression, expression_columns


@dataclass(frozen=True, kw_only=True)
class SourceTarget:
    """A property of the source data, and how its values are cleaned.

    Attributes:
        name: What its experts are called after.
        property: The property, as cards name it.
        unit: Of the values; ``None`` for numbers without one.
        value: Expression over the columns of the data; by default the column named like the property.
        keep: Conditions over the columns; a value for which one does not hold is removed, and counted.
        limits: Smallest and largest value; values beyond are set to the limit, and counted.
        transform: ``log`` for networks to learn ``ln(value + shift)``.
        shift: In the unit.
    """

    name: str
    property: str
    unit: str | None = None
    value: str
    keep: tuple[str, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)
    transform: Literal["none", "log"] = "none"
    shift: float = 0.0

    def columns(self) -> set[str]:
        """Columns of the data that it needs."""
        return {name for expression in (self.value, *self.keep) for name in expression_columns(expression)}

    def clean(self, table: pd.DataFrame) -> tuple[np.ndarray, dict[str, int]]:
        """The values of a table's rows ``[n_rows]``, NaN where there is none, and how many each rule concerned.

        Raises:
            RecipeError: When the rules leave values of which there is no logarithm.
        """
        values = evaluate_expression(self.value, table)
        counts = {"values": int(np.isfinite(values).sum())}
        for condition in self.keep:
            fails = np.isfinite(values) & ~(evaluate_expression(condition, table) == 1)
            counts[f"removed, not {condition}"] = int(fails.sum())
            values = np.where(fails, np.nan, values)
        for limit, beyond, at_limit in zip(self.limits, (np.less, np.greater), ("below", "above"), strict=True):
            if limit is not None:
                outside = beyond(values, limit)
                counts[f"set to {limit:g} from {at_limit}"] = int(outside.sum())
                values = np.where(outside, limit, values)
        if self.transform == "log" and (n_bad := int((values + self.shift <= 0).sum())):
            raise RecipeError(
                f"target {self.name}: {n_bad} values plus the shift {self.shift:g} are not positive, and transform is "
                "'log': remove them with 'keep', or set 'limits' or another 'shift'"
            )
        return values, counts

    def apply_transform(self, values: np.ndarray) -> np.ndarray:
        """From the unit to what networks learn."""
        return np.log(values + self.shift) if self.transform == "log" else values

    def inverse_transform(self, values: np.ndarray) -> np.ndarray:
        """From what networks learn to the unit."""
        return np.exp(values) - self.shift if self.transform == "log" else values
