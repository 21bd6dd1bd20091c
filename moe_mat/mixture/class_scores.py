"""How good predicted classes and their probabilities are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

# Parts of equally many probabilities in which a reliability curve compares them with what is true.
N_BINS = 10
# A probability of nothing for what is true costs no more than this one.
LEAST = 1e-15


@dataclass(frozen=True, slots=True)
class JudgedClasses:
    """How good what was said of some crystals is.

    Attributes:
        scores: ``accuracy``; ``balanced_accuracy``, the mean over classes of the share that was found; ``roc_auc``, of
            several classes the mean over each against the rest, NaN where there is one class alone; ``log_loss``;
            ``brier``, the mean over crystals of the squared errors of all probabilities, summed; and
            ``calibration_error``, the mean distance of the reliability curve from the diagonal.
        reliability: The curve: mean ``probability`` that was said, ``share`` of those that were true, and number ``n``,
            in parts of about equally many. Of two classes of the second, of more of all together.
    """

    scores: dict[str, float]
    reliability: pd.DataFrame


def judge_classes(true: NDArray[np.integer], probabilities: NDArray[np.floating]) -> JudgedClasses:
    """Compare probabilities with what is true.

    Args:
        true: Numbers of the classes ``[n]``.
        probabilities: Of the classes ``[n, n_classes]``.

    Example:
        >>> judge_classes(np.array([0, 1]), np.array([[0.9, 0.1], [0.5, 0.5]])).scores["roc_auc"]
        1.0
    """
    n, n_classes = probabilities.shape
    said, is_of = probabilities.argmax(1), np.eye(n_classes)[true]
    present = np.flatnonzero(is_of.any(0))
    areas = [float(roc_auc_score(is_of[:, one], probabilities[:, one])) for one in present if len(present) > 1]
    columns = slice(1, 2) if n_classes == 2 else slice(None)
    reliability = _reliability(probabilities[:, columns].ravel(), is_of[:, columns].ravel())
    scores = {
        "accuracy": float((said == true).mean()),
        "balanced_accuracy": float(np.mean([(said[true == one] == one).mean() for one in present])),
        "roc_auc": float(np.mean(areas)) if areas else np.nan,
        "log_loss": float(-np.log(np.maximum(probabilities[np.arange(n), true], LEAST)).mean()),
        "brier": float(((probabilities - is_of) ** 2).sum(1).mean()),
        "calibration_error": _distance(reliability),
    }
    return JudgedClasses(scores, reliability)


def _reliability(probabilities: NDArray[np.floating], happened: NDArray[np.floating]) -> pd.DataFrame:
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, N_BINS) if len(part)]
    rows = [(probabilities[part].mean(), happened[part].mean(), len(part)) for part in parts]
    return pd.DataFrame(rows, columns=["probability", "share", "n"])


def _distance(reliability: pd.DataFrame) -> float:
    distances = (reliability["probability"] - reliability["share"]).abs()
    return float((distances * reliability["n"]).sum() / reliability["n"].sum())
