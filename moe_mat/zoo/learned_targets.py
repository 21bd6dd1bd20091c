"""What a property network says of crystals, in the units of the properties that it has learned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_mat.zoo.cards import ExpertCard, NetworkCard

_LOG = re.compile(r"log|ln\(value \+ (.+)\)")
_LOG10_UNIT = re.compile(r"log10\((.+)\)")


@dataclass(frozen=True, slots=True)
class LearnedTarget:
    """A property that a network gives, transformed and standardised.

    Attributes:
        name: Of the property, as its experts are called.
        unit: Of its values, ``GPa`` also where the network has learned ``log10(GPa)``; ``None`` without one.
        mean: Of the transformed values that it has learned.
        std: Their standard deviation.
        shift: What was added before the natural logarithm; ``None`` where none was taken.
        is_log10: Whether the source has decadic logarithms.
        test_mae: Mean absolute error on test crystals of the source, of the logarithm where it is learned or given; NaN
            if not known.
    """

    name: str
    unit: str | None
    mean: float
    std: float
    shift: float | None
    is_log10: bool
    test_mae: float

    def in_unit(self, outputs: np.ndarray) -> np.ndarray:
        """From what the network gives to the unit, both ``[n]``."""
        values = outputs.astype(float) * self.std + self.mean
        values = values if self.shift is None else np.exp(values) - self.shift
        return 10**values if self.is_log10 else values

    def usual_error(self, values: np.ndarray) -> np.ndarray:
        """How far values ``[n]`` in the unit are usually off ``[n]``; of a logarithm the error is a factor."""
        if self.is_log10:
            return values * (10**self.test_mae - 1)
        if self.shift is not None:
            return (values + self.shift) * np.expm1(self.test_mae)
        return np.full(len(values), self.test_mae)


def learned_targets(card: ExpertCard) -> list[LearnedTarget]:
    """What the columns of an expert's embedding are; empty where they are no predictions, or the scale is not known.

    Only the last layers of property networks have properties for columns; their cards note mean and standard deviation
    since version 0.2.
    """
    if not isinstance(card, NetworkCard) or card.network.output != "none":
        return []
    noted: Mapping[str, Any] = card.training.get("targets", {})
    if len(noted) != card.dim or not all({"mean", "std"} <= {*of_target} for of_target in noted.values()):
        return []
    metrics = {next(iter(noted)): card.metrics} if len(noted) == 1 else card.metrics
    return [_learned(name, entry, metrics.get(name, {})) for name, entry in noted.items()]


def _learned(name: str, entry: Mapping[str, Any], metrics: Mapping[str, Any]) -> LearnedTarget:
    unit, log = entry.get("unit"), _LOG.fullmatch(entry["transform"])
    log10 = _LOG10_UNIT.fullmatch(unit or "")
    return LearnedTarget(
        name,
        unit if log10 is None else log10[1],
        float(entry["mean"]),
        float(entry["std"]),
        None if log is None else float(log[1] or 0),
        log10 is not None,
        float(metrics.get("test_mae" if log is None else "test_log_mae", np.nan)),
    )
