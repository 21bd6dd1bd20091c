"""Probabilities of classes from the scores that a head gives them.

A head learns of each class whether a crystal is of it, 0 or 1, and its scores are not yet probabilities. Those are the
softmax of the scores times a slope that all classes share, plus a bias for each (temperature scaling with biases, Guo
et al., ICML 2017; Alexandari et al., ICML 2020; for two classes, Platt's sigmoid). Slope and biases are the most likely
ones given the scores of crystals that the model had not learned from.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import Tensor, nn

from moe_mat.mixture.predicted import HeldOut

# Of the slope, before any score is seen: of the sigmoid that has the slope of the identity in the middle.
USUAL_SLOPE = 4.0
# Of the squares of the slope's logarithm and of the biases, in crystals: a few that are all told apart make no score
# certain, and a class that none of them has does not become impossible.
PENALTIES = (3.0, 0.5)


def indicators(labels: Tensor, n_classes: int) -> Tensor:
    """What a head learns of classes: 0 or 1 of each, or, of two, of the second ``[n, n_columns]``.

    Args:
        labels: Numbers of the classes ``[n]``.
        n_classes: At least 2.
    """
    columns = torch.nn.functional.one_hot(labels, n_classes).float()
    return columns[:, 1:] if n_classes == 2 else columns


def labels_of(columns: Tensor) -> Tensor:
    """Numbers of the classes ``[n]`` of what `indicators` gives, or of scores: that of the highest one."""
    return (columns[:, 0] > 0.5).long() if columns.shape[1] == 1 else columns.argmax(1)


class ClassProbabilities(nn.Module):
    """Scores to probabilities.

    Args:
        n_classes: At least 2.
    """

    slope: Tensor
    biases: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.tensor(USUAL_SLOPE, dtype=torch.double))
        self.register_buffer("biases", torch.zeros(n_classes, dtype=torch.double))

    def fit(self, held_out: HeldOut) -> None:
        """Learn from what was said of crystals before they were learned from."""
        scores = held_out.predicted.values
        known = scores.isfinite().all(1) & held_out.targets.isfinite().all(1)
        columns = _of_each(scores[known]).double().numpy()
        labels = labels_of(held_out.targets[known]).numpy()
        true = np.eye(columns.shape[1])[labels]

        start = np.concatenate([[np.log(USUAL_SLOPE)], np.zeros(columns.shape[1])])
        penalties = np.concatenate([PENALTIES[:1], np.full(columns.shape[1], PENALTIES[1])])

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            scaled = columns * np.exp(parameters[0])
            likely = log_softmax(scaled + parameters[1:], axis=1)
            wrong = np.exp(likely) - true
            moved = parameters - start
            gradient = np.concatenate([[(wrong * scaled).sum()], wrong.sum(0)]) + 2 * penalties * moved
            return float(-(likely * true).sum() + penalties @ moved**2), gradient

        found = torch.from_numpy(minimize(loss, start, jac=True).x)
        self.slope, self.biases = found[0].exp(), found[1:]

    def forward(self, scores: Tensor) -> Tensor:
        """Probabilities ``[n, n_classes]``, double, from scores ``[n, n_columns]``."""
        return (_of_each(scores).double() * self.slope + self.biases).softmax(1)


def _of_each(scores: Tensor) -> Tensor:
    """Scores of each class ``[n, n_classes]``, of two as well."""
    return torch.cat([1 - scores, scores], dim=1) if scores.shape[1] == 1 else scores
