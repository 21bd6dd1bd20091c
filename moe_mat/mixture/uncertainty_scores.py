"""How good intervals are: coverage, width, interval score and CRPS of predictions whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

Numbers = NDArray[np.floating]

# Levels that are reported.
LEVELS = (0.5, 0.8, 0.9, 0.95)
# Levels at which the integral of the CRPS is taken: the middles of so many equal parts.
CRPS_LEVELS = tuple(((np.arange(50) + 0.5) / 50).tolist())
ALL_LEVELS = (*LEVELS, *CRPS_LEVELS)


def interval_score(true: Numbers, lower: Numbers, upper: Numbers, level: float) -> Numbers:
    """Width of an interval, and 2 / (1 - level) of the distance by which a value is missed ``[n]``; less is better.

    Gneiting and Raftery, Journal of the American Statistical Association 102, 359 (2007), eq. 43.
    """
    missed = np.maximum(lower - true, 0) + np.maximum(true - upper, 0)
    return upper - lower + 2 / (1 - level) * missed


def crps(true: Numbers, lower: Numbers, upper: Numbers) -> Numbers:
    """Continuous ranked probability score ``[n]`` in the target's unit; of a prediction without width, its error.

    It is the mean over levels of the interval score, weighted by (1 - level) / 2.

    Args:
        true: ``[n]``.
        lower: Bounds at `CRPS_LEVELS` ``[n, n_levels]``.
        upper: The same.
    """
    scores = [
        (1 - level) / 2 * interval_score(true, lower[:, number], upper[:, number], level)
        for number, level in enumerate(CRPS_LEVELS)
    ]
    return np.mean(scores, axis=0)


@dataclass(frozen=True, slots=True)
class Judged:
    """How good the uncertainty of one target is.

    Attributes:
        scores: ``coverage_90`` and ``width_90``, and so on for all `LEVELS`: share, and mean in the target's unit;
            ``crps``, in its unit; ``mean_squared_z``, of errors in standard deviations; ``width_error_rank``,
            Spearman's correlation of standard deviation and absolute error.
        calibration: For each ``level`` the ``coverage``, and the ``mae`` of the surest crystals, which are this share.
    """

    scores: dict[str, float]
    calibration: pd.DataFrame


def judge(true: Numbers, predicted: Numbers, std: Numbers, lower: Numbers, upper: Numbers) -> Judged:
    """Compare intervals with what is true.

    Args:
        true: ``[n]``.
        predicted: ``[n]``.
        std: ``[n]``.
        lower: Bounds at `ALL_LEVELS` ``[n, n_levels]``.
        upper: The same.
    """
    coverage, errors = ((lower <= true[:, None]) & (true[:, None] <= upper)).mean(0), np.abs(predicted - true)
    scores: dict[str, float] = {}
    for number, level in enumerate(LEVELS):
        scores[f"coverage_{100 * level:g}"] = float(coverage[number])
        scores[f"width_{100 * level:g}"] = float((upper - lower)[:, number].mean())
    n = len(LEVELS)
    scores["crps"] = float(crps(true, lower[:, n:], upper[:, n:]).mean())
    scores["mean_squared_z"] = float(((errors / np.maximum(std, 1e-30)) ** 2).mean())
    varied = len(true) > 2 and np.ptp(std) > 0 and np.ptp(errors) > 0
    scores["width_error_rank"] = float(spearmanr(std, errors).statistic) if varied else np.nan
    surest = np.cumsum(errors[np.argsort(std, kind="stable")]) / np.arange(1, len(errors) + 1)
    kept = [max(1, round(level * len(errors))) - 1 for level in CRPS_LEVELS]
    frame = pd.DataFrame({"level": CRPS_LEVELS, "coverage": coverage[n:], "mae": surest[kept]})
    return Judged(scores, frame)
