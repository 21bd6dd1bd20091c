"""What a method is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Structure


@dataclass(frozen=True, slots=True)
class Problem:
    """What a method gets: crystals and numbers, and no way to the test values.

    Attributes:
        train: crystals and targets to learn from.
        val: crystals and targets to choose by.
        test: crystals to predict.
        seed: of everything random.
    """

    train: tuple[Sequence[Structure], np.ndarray]
    val: tuple[Sequence[Structure], np.ndarray]
    test: Sequence[Structure]
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method gives back.

    Attributes:
        val_mae: of the settings it chose.
        predictions: of the test crystals ``[n]``.
        std: their standard deviations ``[n]``, from methods that know them.
        bounds: lower and upper bounds of their intervals at `moe_mat.mixture.ALL_LEVELS`, each ``[n, n_levels]``, from
            methods that know them.
        gate_weights: weight of each expert.
        chosen: settings that were chosen on the validation rows.
        tried: all settings that were tried, each with its ``val_mae``.
        environment: package -> version, from methods that ran in another environment.
    """

    val_mae: float
    predictions: np.ndarray
    std: np.ndarray | None = None
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    gate_weights: Mapping[str, float] | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    tried: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


Run = Callable[[Problem, Sequence[str], Mapping[str, Any], Sequence[Mapping[str, Any]]], Outcome]
