"""The corrected resampled t-test, for differences on splits that share most of their rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def corrected_t_test(differences: Sequence[float], *, ratio: float) -> float | None:
    """Two-sided p of no difference (Nadeau and Bengio, Machine Learning 52, 239, 2003).

    ``t = mean / sqrt((1/n + ratio) * variance)`` with ``n - 1`` degrees of freedom. The plain test has ``1/n`` alone,
    as if the splits were independent.

    Args:
        differences: Of the test MAEs of two methods, split by split ``[n]``.
        ratio: Test rows over training rows of a split.

    Returns:
        None without any spread to test against.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n < 2 or not math.isfinite(ratio) or values.std() <= 1e-12 * abs(values.mean()):
        return None
    t = values.mean() / math.sqrt((1 / n + ratio) * values.var(ddof=1))
    return float(2 * stats.t.sf(abs(t), df=n - 1))
