"""Whether one configuration is better than another by more than the noise over folds, and what the choice owes to luck.

Folds share training rows, so that the differences between two configurations on them are not independent. Their
standard error is the corrected one of Nadeau and Bengio (Machine Learning 52, 239, 2003): the variance of the
differences times 1/k + n_test/n_train, in place of 1/k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

# Probability, at most, that noise alone makes some configuration look better than the given one.
LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """Scores of a configuration less those of the given one, on the same folds.

    Attributes:
        mean: Negative where it is better.
        error: Corrected standard error of the mean; NaN of a single fold.
        chance: Probability of a difference as good as this one or better where there is none; NaN of a single fold.
    """

    mean: float
    error: float
    chance: float


def compare(scores: np.ndarray, given: np.ndarray, *, test_share: float) -> Difference:
    """Compare two configurations fold by fold.

    Args:
        scores: Errors of one ``[n_folds]``.
        given: Errors of the other ``[n_folds]``.
        test_share: Rows that are tested in a fold, as a share of those learned from.

    Example:
        >>> found = compare(np.array([0.9, 1.8, 2.9]), np.array([1.0, 2.0, 3.0]), test_share=0.5)
        >>> round(found.mean, 3), round(found.error, 3), round(found.chance, 2)
        (-0.133, 0.053, 0.06)
    """
    differences, n_folds = scores - given, len(scores)
    mean = float(differences.mean())
    if n_folds < 2:
        return Difference(mean, np.nan, np.nan)
    error = float(np.sqrt((1 / n_folds + test_share) * differences.var(ddof=1)))
    if error == 0:
        return Difference(mean, 0.0, 1.0 if mean >= 0 else 0.0)
    return Difference(mean, error, float(student.cdf(mean / error, n_folds - 1)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All configurations against the given one.

    Attributes:
        best: Row of the one with the lowest mean; 0 is the given one.
        differences: Of each row to the given one.
        chance: Probability that noise alone makes the best of so many look as good as it does; 1 where the given one is
            the best.
        chosen_elsewhere: Mean score of what the other folds choose, on each fold.
        wins: Whether the best is to take the place of the given one.
    """

    best: int
    differences: list[Difference]
    chance: float
    chosen_elsewhere: float
    wins: bool


def judge_trials(scores: np.ndarray, *, test_share: float) -> Comparison:
    """Whether the best of several configurations is better than the first by more than the noise over folds.

    It is chosen by the folds on which it is judged, and the more there are to choose from the better the best looks:
    the chance that noise does so is multiplied by their number (Bonferroni). And what each fold says of the
    configuration that the *other* folds choose has no share in that choice; its mean is an estimate of the error
    without the optimism of the choice.

    Args:
        scores: Errors ``[n_configurations, n_folds]``, those of the given configuration first.
        test_share: Rows that are tested in a fold, as a share of those learned from.

    Example:
        >>> judge_trials(np.array([[2.0, 3.0, 4.0], [1.0, 2.1, 2.9]]), test_share=0.5).wins
        True
        >>> judge_trials(np.array([[2.0, 3.0, 4.0], [1.0, 3.5, 4.1]]), test_share=0.5).wins
        False
    """
    best, others = int(scores.mean(1).argmin()), len(scores) - 1
    differences = [compare(row, scores[0], test_share=test_share) for row in scores]
    chance = min(1.0, others * differences[best].chance) if best else 1.0
    total, rows = scores.sum(1), range(scores.shape[1])
    chosen = [scores[int((total - scores[:, fold]).argmin()), fold] for fold in rows]
    chosen_elsewhere = float(np.mean(chosen))
    wins = bool(chance <= LEVEL and chosen_elsewhere < scores[0].mean())
    return Comparison(best, differences, chance, chosen_elsewhere, wins)
