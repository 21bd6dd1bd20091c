"""What is looked for, and how much a measurement is expected to bring towards it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from moe_mat.suggest.settings import Acquisition

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Goal:
    """The largest or smallest value, the one nearest to a target, a class, or the crystal that is known least of.

    Attributes:
        kind: Which of them.
        value: The target, in its unit.
        name: Of the class.
    """

    kind: Literal["max", "min", "target", "class", "uncertainty"]
    value: float = math.nan
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Goal:
        """From ``max``, ``min``, ``target=1.5``, ``class=cubic`` or ``uncertainty``.

        Raises:
            ValueError: It is none of these.

        Example:
            >>> Goal.parse("target=1.5")
            Goal(kind='target', value=1.5, name='')
        """
        name, equals, number = text.partition("=")
        if name in ("max", "min", "uncertainty") and not equals:
            return cls(name)  # type: ignore[arg-type]
        if name == "class" and number:
            return cls("class", name=number)
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name != "target" or not math.isfinite(value):
            raise ValueError(
                f"the goal is {text!r}: use max, min, target=1.5 (in the target's unit) or uncertainty; of classes "
                "class=NAME or uncertainty"
            )
        return cls("target", value)

    def __str__(self) -> str:
        return self.kind + {"target": f"={self.value:g}", "class": f"={self.name}"}.get(self.kind, "")

    def check(self, target: str, classes: Sequence[str] | None) -> None:
        """Refuse what makes no sense for a target.

        Args:
            target: Its name.
            classes: Of it; ``None`` where it is a number.

        Raises:
            ValueError: When the goal is of the other kind, or there is no such class; says what may be used.
        """
        if classes is None:
            if self.kind == "class":
                raise ValueError(
                    f"the goal is {str(self)!r}, and {target} is a number: use max, min, target=1.5 (in its unit) or "
                    "uncertainty"
                )
            return
        if self.needs_values:
            raise ValueError(
                f"the goal is {str(self)!r}, and {target} is a class: use uncertainty, or class=NAME with one of "
                f"{', '.join(classes)}"
            )
        if self.kind == "class" and self.name not in classes:
            raise ValueError(f"{target} has no class {self.name!r}: its classes are {', '.join(classes)}")

    @property
    def needs_values(self) -> bool:
        """Whether it is about values that are numbers, and not about probabilities or what is not known."""
        return self.kind not in ("uncertainty", "class")

    def merit(self, values: Numbers) -> Numbers:
        """How good values are ``[n]``: the larger the better, in the target's unit."""
        if self.kind == "target":
            return -np.abs(values - self.value)
        return -values if self.kind == "min" else values

    def bar(self, measured: Numbers, n: int) -> float:
        """The merit that must be passed: that of the best measured crystal but ``n - 1``, or of the worst of them all.

        With ``n = 1`` it is the best. A larger ``n`` asks for the ``n`` best crystals and not for one.
        """
        merits = np.sort(self.merit(measured))[::-1]
        return float(merits[min(n, len(merits)) - 1])

    def improvement(self, mean: Numbers, std: Numbers, bar: float) -> Numbers:
        """Expected improvement ``[n]``: the mean of what Gaussian values exceed the bar by, where they do.

        For a target it is the expected approach: of ``max(0, d - |value - target|)``, with ``d`` the distance to be
        undercut. Mockus, Tiesis and Zilinskas 1978; Jones, Schonlau and Welch, Journal of Global Optimization 13,
        455 (1998).

        Args:
            mean: Predictions ``[n]``.
            std: Their standard deviations ``[n]``.
            bar: A merit, see `bar`.
        """
        if self.kind == "max":
            return expected_excess(mean, std, bar)
        if self.kind == "min":
            return expected_excess(-mean, std, bar)
        # A tent over the target, as a sum of three ramps.
        low, top, high = (expected_excess(mean, std, self.value + step) for step in (bar, 0.0, -bar))
        return np.maximum(low - 2 * top + high, 0.0)


def expected_excess(mean: Numbers, std: Numbers, level: float) -> Numbers:
    """Mean of ``max(0, value - level)`` of Gaussian values ``[n]``.

    Example:
        >>> expected_excess(np.array([2.0, 0.0]), np.array([0.0, 1.0]), 0.0).round(4).tolist()
        [2.0, 0.3989]
    """
    std = np.maximum(std, 1e-12)
    z = (mean - level) / std
    return std * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def value_of(goal: Goal, acquisition: Acquisition, bar: float) -> Callable[[Numbers, Numbers], Numbers]:
    """What crystals are ranked by, from their predictions ``[n]`` and standard deviations ``[n]``."""
    if not goal.needs_values:
        return lambda mean, std: std
    if acquisition == "prediction":
        return lambda mean, std: goal.merit(mean)
    return lambda mean, std: goal.improvement(mean, std, bar)
