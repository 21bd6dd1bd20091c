"""Intervals from errors on crystals that the model had not learned from: conformal prediction with a scale.

The scale of a crystal's error is log-linear in the signs of a large one (`moe_mat.mixture.predicted.Predicted`), with
coefficients that make absolute errors most likely under a Laplace distribution. Errors in units of their scale are the
scores; the interval at a level reaches as far to both sides as the score that this share of the crystals does not
exceed, with one more crystal counted, as in Papadopoulos et al. (Journal of Artificial Intelligence Research 40, 815,
2011) and Lei et al. (Journal of the American Statistical Association 113, 1094, 2018). Nothing is assumed of the
errors' distribution, but that new crystals are drawn as those of the training were.

Where the composition of a crystal is beyond those of the training, that does not hold, and the interval goes, by how
far it is beyond, geometrically over to that of always predicting the median of the training.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from moe_mat.mixture.growing import GrowingModule
from moe_mat.mixture.inner_folds import folds
from moe_mat.mixture.predicted import HeldOut, Predicted, Said

# Share of a Gaussian within one standard deviation.
ONE_SIGMA = math.erf(math.sqrt(0.5))
# Of the coefficients, in units of a sign's spread: as strong as so many crystals.
PENALTY = 3.0
# Spreads at which signs are cut: beyond what was seen, the scale goes on growing, but not for ever.
FARTHEST = 4.0
# In standard deviations of the target, and in length scales: what is nearer says no more.
LEAST_UNUSUAL, LEAST_DISTANCE = 0.1, 1e-3
# Fewer crystals than this say nothing of an error's scale.
MIN_ROWS = 5


class _OfTarget(GrowingModule):
    """Scale and scores of one target.

    Attributes:
        usual: Median and standard deviation of the target, and the lowest bound there may be ``[3]``.
        centre: Of the signs ``[n_signs]``.
        spread: Of the signs ``[n_signs]``.
        slopes: Of the scale's logarithm along the signs in units of their spread ``[n_signs]``.
        level: The scale's logarithm at the signs' centre.
        scores: Absolute errors in units of their scale, in order ``[n]``; empty where too few crystals were held out.
        deviations: Of the targets from their median, in order ``[n]``.
    """

    usual: Tensor
    centre: Tensor
    spread: Tensor
    slopes: Tensor
    level: Tensor
    scores: Tensor
    deviations: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("centre", "spread", "slopes", "scores", "deviations"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("usual", torch.tensor([0.0, 1.0, -torch.inf]))
        self.register_buffer("level", torch.zeros(()))

    def fit(self, targets: Tensor, said: Predicted) -> None:
        """Learn from targets ``[n]`` and what was said of them before: ``[n]``, ``[n, n_signs]`` and ``[n]``."""
        self.scores = torch.zeros(0)
        if len(targets) < MIN_ROWS:
            return
        errors = (targets - said.values).abs()
        lowest = 0.0 if targets.min() >= 0 else -torch.inf
        self.usual = torch.stack([targets.median(), targets.std(correction=0), torch.tensor(lowest)])
        signs = self._signs(said)
        self.centre, self.spread = signs.mean(0), signs.std(0, correction=0).clamp_min(1e-6)
        standardised, scores = self._standardised(signs), torch.empty_like(errors)
        for held, kept in folds(len(errors)):  # scores by scales that have not seen the error
            scores[held] = errors[held] / _scale(standardised[held], *_most_likely(errors[kept], standardised[kept]))
        self.scores = scores.sort().values
        self.level, self.slopes = _most_likely(errors, standardised)
        self.deviations = (targets - targets.median()).abs().sort().values

    def _signs(self, said: Predicted) -> Tensor:
        """The head's signs, how far the value is from the usual one, and how far the crystal from those known."""
        median, std, _ = self.usual
        unusual = ((said.values - median).abs() / std.clamp_min(1e-12) + LEAST_UNUSUAL).log()
        signs = torch.stack([unusual, (said.distances + LEAST_DISTANCE).log()], dim=1)
        return torch.cat([said.signs, signs], dim=1).float()

    def _standardised(self, signs: Tensor) -> Tensor:
        return ((signs - self.centre) / self.spread).clamp(-FARTHEST, FARTHEST)

    def scale(self, said: Predicted) -> Tensor:
        """Scale of the errors of crystals ``[n]`` in the target's unit."""
        return _scale(self._standardised(self._signs(said)), self.level, self.slopes)

    def width(self, said: Predicted, beyond: Tensor, level: float) -> Tensor:
        """Half the width of intervals ``[n]``; NaN where too few crystals were held out.

        Args:
            said: Of the crystals.
            beyond: How far their compositions are beyond those of the training, from 0 to 1 ``[n]``.
            level: Of the intervals.
        """
        if not len(self.scores):
            return torch.full_like(said.values, torch.nan)
        width = _quantile(self.scores, level) * self.scale(said)
        of_median = width.clamp_min(_quantile(self.deviations, level))
        return width ** (1 - beyond) * of_median**beyond


def _quantile(ordered: Tensor, level: float) -> float:
    """What this share of new values will not exceed, from values in order ``[n]``."""
    n = len(ordered)
    rank = math.ceil((n + 1) * level - 1e-9)
    if rank <= n:
        return float(ordered[max(rank, 1) - 1])
    # More than so many values can tell: on from the largest by an exponential tail.
    return float(ordered[-1]) * math.log(1 - level) / math.log(1 / (n + 1))


def _scale(signs: Tensor, level: Tensor, slopes: Tensor) -> Tensor:
    return (level + signs @ slopes).exp()


def _most_likely(errors: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Level and slopes ``[n_signs]`` of the logarithm of the scale of a Laplace distribution.

    Args:
        errors: Absolute ``[n]``.
        signs: Standardised ``[n, n_signs]``.
    """
    # An error of nothing, of a crystal that is there twice, must not make the likelihood infinite.
    absolute = (errors + 1e-6 * errors.mean()).clamp_min(1e-12).double().numpy()
    columns = signs.double().numpy()

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        slopes = coefficients[1:]
        log_scale = coefficients[0] + columns @ slopes
        scores = absolute * np.exp(-log_scale)
        gradient = np.concatenate([[(1 - scores).sum()], columns.T @ (1 - scores) + 2 * PENALTY * slopes])
        return float((log_scale + scores).sum() + PENALTY * slopes @ slopes), gradient

    start = np.concatenate([[np.log(absolute.mean())], np.zeros(columns.shape[1])])
    found = torch.from_numpy(minimize(loss, start, jac=True).x).float()
    return found[0], found[1:]


class Intervals(nn.Module):
    """The intervals of all targets.

    Args:
        n_targets: Their number.
    """

    def __init__(self, n_targets: int) -> None:
        super().__init__()
        self.targets = nn.ModuleList(_OfTarget() for _ in range(n_targets))

    def fit(self, held_out: HeldOut) -> None:
        """Learn from what was said of crystals before they were learned from.

        Where no value of a target is negative, no bound will be.
        """
        for column, of_target in enumerate(self._targets()):
            said = held_out.predicted.column(column)
            rows = held_out.targets[:, column].isfinite() & said.values.isfinite()
            of_target.fit(held_out.targets[rows, column], Predicted(*(values[rows] for values in said)))

    def std(self, said: Said) -> Tensor:
        """Half the width of the intervals at 68.3 % ``[n, n_targets]``: of Gaussian errors the standard deviation.

        NaN where too few crystals were held out to know.
        """
        return self._widths(said, ONE_SIGMA)

    def bounds(self, said: Said, level: float) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds ``[n, n_targets]`` in the targets' units; NaN as in `std`.

        Args:
            said: By the model, of some crystals.
            level: Share of new crystals whose value is to lie between them, such as 0.9.

        Raises:
            ValueError: When the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"the level of an interval is a share between 0 and 1, such as 0.9, and not {level}")
        values, widths = said.predicted.values, self._widths(said, level)
        lowest = torch.stack([of_target.usual[2] for of_target in self._targets()]).minimum(values)
        return (values - widths).maximum(lowest), values + widths

    def _widths(self, said: Said, level: float) -> Tensor:
        of_targets = enumerate(self._targets())
        return torch.stack([one.width(said.predicted.column(i), said.beyond, level) for i, one in of_targets], dim=1)

    def _targets(self) -> list[_OfTarget]:
        return [cast(_OfTarget, one) for one in self.targets]
