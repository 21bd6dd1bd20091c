"""Learners on features, in time and memory linear in the number of crystals.

They are those of `moe_mat.mixture.heads.learners`, in the space of the features: the Gaussian process is a ridge
regression, and the support vector machine is solved by the alternating direction method of multipliers (Boyd et al.,
Foundations and Trends in Machine Learning 3, 1, 2011, section 6.1), whose one large matrix is factorised once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from moe_mat.mixture.heads.gaussian_process import JITTER
from moe_mat.mixture.heads.learners import EPSILON, Learner, TargetColumn, machine_outputs

# Crystals whose products are summed in single precision.
CHUNK = 1024
MAX_STEPS = 200
# Of the machine's solution, in units of the typical residual.
TOLERANCE = 0.01
# Of each step, which so takes fewer (section 3.4.3).
OVER_RELAXATION = 1.6


@dataclass(frozen=True)
class FeatureExamples:
    """Crystals with a value of one target.

    Attributes:
        features: ``[n, m]``.
        targets: In their unit ``[n]``.
        outputs: What the Gaussian process learns of them ``[n]``.
        weights: How much they count ``[n]``; ``None`` where all are alike.
    """

    features: Tensor
    targets: Tensor
    outputs: Tensor
    weights: Tensor | None = None

    @cached_property
    def gram(self) -> Tensor:
        """Sum over crystals of the products of their features ``[m, m]``, double."""
        total = torch.zeros(2 * self.features.shape[1:], dtype=torch.double)
        for chunk in self.features.split(CHUNK):
            total += chunk.T @ chunk
        return total

    @cached_property
    def weighted_gram(self) -> Tensor:
        """The same, of each crystal as often as its weight says."""
        if self.weights is None:
            return self.gram
        total = torch.zeros_like(self.gram)
        for chunk, weights in zip(self.features.split(CHUNK), self.weights.split(CHUNK), strict=True):
            total += chunk.T @ (weights[:, None] * chunk)
        return total

    @cached_property
    def total(self) -> Tensor:
        """Sum of the features ``[m]``, double."""
        return self.times(torch.ones(len(self.features)))

    def times(self, values: Tensor) -> Tensor:
        """Sum over crystals of their features times some values ``[n]``: ``[m]``, double."""
        chunks = zip(self.features.split(CHUNK), values.float().split(CHUNK), strict=True)
        return torch.stack([part.T @ of_part for part, of_part in chunks]).double().sum(0)


@torch.no_grad()
def learn_linear(learner: Learner, examples: FeatureExamples, target: TargetColumn) -> tuple[Tensor, Tensor]:
    """Weights of the features ``[m]``, and the constants of a `moe_mat.mixture.heads.learners.Solution`."""
    if not learner.machine:
        noise = learner.strength * target.process.log_noise.detach().exp().double() + JITTER
        outputs = target.clipped(examples.outputs)
        outputs = outputs if examples.weights is None else outputs * examples.weights
        weights = ridge(examples.weighted_gram, examples.times(outputs), noise)
        return weights, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.double)
    outputs, median, spread = machine_outputs(learner, examples.targets, examples.outputs)
    weights, intercept = support_vector_regression(examples, outputs.float(), penalty=learner.strength)
    return weights, torch.tensor([intercept, learner.root, median, spread], dtype=torch.double)


def ridge(gram: Tensor, products: Tensor, penalty: Tensor) -> Tensor:
    """Weights ``[m]`` that minimise ``|y - X w|^2 + penalty |w|^2``, from ``X' X`` and ``X' y``."""
    matrix = gram.clone()
    matrix.diagonal().add_(penalty)
    return torch.cholesky_solve(products[:, None], torch.linalg.cholesky(matrix))[:, 0]


def support_vector_regression(examples: FeatureExamples, outputs: Tensor, *, penalty: float) -> tuple[Tensor, float]:
    """Weights ``[m]`` and intercept that minimise ``|w|^2 / 2 + penalty * sum max(0, |y - X w - b| - EPSILON)``.

    Of crystals with weights the penalty is theirs times this.

    Args:
        examples: Of whom the features are taken.
        outputs: Standardised ``[n]``.
        penalty: The machine's C.
    """
    features, n_features = examples.features, examples.features.shape[1]
    matrix = torch.zeros(n_features + 1, n_features + 1, dtype=torch.double)
    matrix[:-1, :-1], matrix[-1, -1] = examples.gram, len(features)
    matrix[-1, :-1] = matrix[:-1, -1] = examples.total

    def solve(regularisation: float) -> Tensor:
        regular = matrix.clone()
        regular.diagonal()[:-1].add_(regularisation)
        return torch.linalg.cholesky(regular)

    def weights_for(values: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        products = torch.cat([examples.times(values), values.double().sum()[None]])
        weights = torch.cholesky_solve(products[:, None], factor)[:, 0]
        return weights, features @ weights[:-1].float() + weights[-1].float()

    weights, fitted = weights_for(outputs, solve(1.0))
    typical = float((outputs - fitted).abs().mean().clamp_min(1e-3))
    factor = solve(typical / penalty)
    most = torch.full_like(outputs, typical) if examples.weights is None else typical * examples.weights
    residuals, dual = outputs - fitted, torch.zeros_like(outputs)
    for _ in range(MAX_STEPS):
        weights, fitted = weights_for(outputs - residuals - dual, factor)
        relaxed = OVER_RELAXATION * (outputs - fitted) + (1 - OVER_RELAXATION) * residuals
        before, residuals = residuals, _shrunk(relaxed - dual, most)
        dual = dual + residuals - relaxed
        apart = max(_size(residuals - outputs + fitted), _size(residuals - before))
        if apart < TOLERANCE * typical:
            break
    return weights[:-1], float(weights[-1])


def _shrunk(values: Tensor, by: Tensor) -> Tensor:
    """Towards 0 by at most so much ``[n]``, and not from within EPSILON of it."""
    return values - values.sign() * (values.abs() - EPSILON).clamp_min(0).minimum(by)


def _size(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
