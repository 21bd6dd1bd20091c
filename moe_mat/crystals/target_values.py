"""Values of target columns: numbers, or names of classes, and which of them a column holds."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.crystals.tables import Table, Wanted
from moe_mat.crystals.target_kinds import TargetKind

NO_VALUE = "no value"
# Rows that tell what a column holds.
_PROBE_ROWS = 1000


def as_number(value: Any) -> tuple[float, str | None]:
    """A target as a finite float, or NaN and the reason."""
    if _is_missing(value):
        return math.nan, NO_VALUE
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan, f"{reprlib.repr(value)} is not a number"
    if math.isnan(number):
        return math.nan, NO_VALUE
    return (math.nan, f"the value is {number}") if math.isinf(number) else (number, None)


def as_class(value: Any) -> tuple[str | None, str | None]:
    """A target as the name of a class, or None and the reason.

    Example:
        >>> as_class(np.True_), as_class(2.0), as_class(" cubic "), as_class("")
        (('True', None), ('2', None), ('cubic', None), (None, 'no value'))
    """
    if _is_missing(value):
        return None, NO_VALUE
    if isinstance(value, bool | np.bool_):
        return str(bool(value)), None
    if isinstance(value, Number | np.number):
        number, reason = as_number(value)
        return (f"{number:.15g}", None) if reason is None else (None, reason)
    return str(value).strip(), None


def in_order(names: Iterable[str]) -> list[str]:
    """Classes once each, numbers by their size.

    Example:
        >>> in_order(["10", "9", "10"]), in_order(["metal", "gap"])
        (['9', '10'], ['gap', 'metal'])
    """
    distinct = set(names)
    numbers = {name: as_number(name) for name in distinct}
    if all(reason is None for _, reason in numbers.values()):
        return sorted(distinct, key=lambda name: numbers[name][0])
    return sorted(distinct)


def kind_of(table: Table, column: str) -> TargetKind:
    """What a column holds: classes, if there is no number among its first values, and not only missing ones.

    Booleans are classes, also as text; integers are numbers.
    """
    rows = table.rows(Wanted(stop=_PROBE_ROWS, columns=(column,), structures=False))
    values = [value for value in (row.values.get(column) for row in rows) if not _is_missing(value)]
    numbers = (not isinstance(value, bool | np.bool_) and as_number(value)[1] is None for value in values)
    return "class" if values and not any(numbers) else "number"


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or (isinstance(value, str) and not value.strip()):
        return True
    return isinstance(value, float) and math.isnan(value)
