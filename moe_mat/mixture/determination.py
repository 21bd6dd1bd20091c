"""R², where values may be missing and crystals may count more or less."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import r2_score


def r2(true: ArrayLike, predicted: ArrayLike, weights: torch.Tensor | None = None) -> float:
    """Coefficient of determination of the values that there are, the mean over targets.

    Args:
        true: ``[n]`` or ``[n, n_targets]``; NaN where there is no value.
        predicted: Of the same shape.
        weights: How much crystals count ``[n]``.

    Raises:
        ValueError: When shapes differ, a value is infinite, or no target has two values.
    """
    values, said = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    if values.shape != said.shape:
        raise ValueError(f"targets of the shape {said.shape} are needed, and not {values.shape}")
    if np.isinf(values).any():
        raise ValueError(
            f"the target of crystal {int(np.isinf(values).reshape(len(values), -1).any(1).argmax())} is infinite"
        )
    scores = []
    for of_target, of_said in zip(values.reshape(len(values), -1).T, said.reshape(len(said), -1).T, strict=True):
        present = np.isfinite(of_target) if weights is None else np.isfinite(of_target) & (weights > 0).numpy()
        if present.sum() > 1:
            of_present = None if weights is None else weights.numpy()[present]
            scores.append(r2_score(of_target[present], of_said[present], sample_weight=of_present))
    if not scores:
        raise ValueError("no target has two values, and R2 compares errors with the spread of the values")
    return float(np.mean(scores))
