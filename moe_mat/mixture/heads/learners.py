"""What can be learned on a given kernel: a dual vector by the Gaussian process, or by a support vector machine.

The machine's absolute loss serves heavy tails better than a Gaussian does. For skewed targets it may also learn the
square root of the target and not its logarithm: where a few large values make up the error, the logarithm forgives too
much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from sklearn.svm import SVR
from torch import Tensor

from moe_mat.mixture.heads.gaussian_process import GaussianProcess
from moe_mat.mixture.transforms import TargetTransform

Kernel = Literal["gated", "descriptors"]
KERNELS: tuple[Kernel, ...] = ("gated", "descriptors")

# Factors of the process's noise variance, which the likelihood learned on fewer crystals.
NOISE_FACTORS = (0.3, 1.0, 3.0)
# Of the machines on a kernel: the C of support vector regression.
PENALTIES: dict[Kernel, tuple[float, ...]] = {"gated": (1.0, 3.0, 10.0, 30.0, 100.0), "descriptors": (1.0, 10.0)}
EPSILON = 0.03


class Learner(NamedTuple):
    """One way to learn.

    Attributes:
        kernel: On which kernel.
        machine: By a support vector machine, and not by the Gaussian process.
        root: Learn the square root of the target, in place of what the Gaussian process learns.
        strength: The machine's C, or the factor of the process's noise variance.
    """

    kernel: Kernel
    machine: bool
    root: bool
    strength: float


def candidates(
    *, skewed: bool, described: bool, penalties: Mapping[Kernel, Sequence[float]] = PENALTIES
) -> list[Learner]:
    """The learners to choose from.

    Args:
        skewed: Whether what the process learns is more than a change of the target's scale.
        described: Whether there is a descriptor kernel.
        penalties: Of the machines on each kernel.
    """
    found = [Learner("gated", False, False, factor) for factor in NOISE_FACTORS]
    for kernel in KERNELS if described else KERNELS[:1]:
        roots = (False, True) if skewed and kernel == "gated" else (False,)
        found += [Learner(kernel, True, root, penalty) for root in roots for penalty in penalties[kernel]]
    return found


@dataclass(frozen=True, slots=True)
class Examples:
    """Crystals with a value of one target.

    Attributes:
        covariances: Of the crystals, by each kernel ``[n, n]``.
        targets: In their unit ``[n]``.
        outputs: What the Gaussian process learns of them ``[n]``.
        weights: How much they count ``[n]``: of the process's noise variances 1 / weight, and of a machine's C;
            ``None`` where all are alike.
    """

    covariances: dict[Kernel, Tensor]
    targets: Tensor
    outputs: Tensor
    weights: Tensor | None = None

    def some(self, rows: Tensor) -> Examples:
        """Those of some rows ``[m]``."""
        covariances = {kernel: covariance[rows][:, rows] for kernel, covariance in self.covariances.items()}
        weights = None if self.weights is None else self.weights[rows]
        return Examples(covariances, self.targets[rows], self.outputs[rows], weights)


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """What learners must know of one target.

    Attributes:
        transform: Of all targets.
        column: Which of them.
        bounds: Lowest and highest prediction ``[2]``: an inverted logarithm must not run away.
        process: The Gaussian process that has learned the gated kernel.
    """

    transform: TargetTransform
    column: int
    bounds: Tensor
    process: GaussianProcess

    def in_unit(self, outputs: Tensor) -> Tensor:
        """What the process learns ``[n]`` to the target's unit, within the bounds."""
        return self.transform.inverse_of(outputs, self.column).clamp(*self.bounds)

    def clipped(self, outputs: Tensor) -> Tensor:
        """Outputs ``[n]`` without those that are outliers to a Gaussian."""
        return self.transform.without_outliers_of(outputs, self.column)


class Solution(NamedTuple):
    """What was learned.

    Attributes:
        dual: Weights of the crystals that were learned from ``[n]``.
        constants: Intercept; whether the root was learned; its median and its spread ``[4]``, double.
    """

    dual: Tensor
    constants: Tensor

    def predict(self, to_support: Tensor, target: TargetColumn) -> Tensor:
        """Predictions in the target's unit ``[m]`` from the covariance with the crystals ``[m, n]``."""
        intercept, root, median, spread = self.constants.tolist()
        outputs = to_support @ self.dual + intercept
        if not root:
            return target.in_unit(outputs)
        outputs = outputs * spread + median
        return (outputs * outputs.abs()).clamp(*target.bounds)


def machine_outputs(learner: Learner, targets: Tensor, outputs: Tensor) -> tuple[Tensor, float, float]:
    """What a machine learns ``[n]``, and median and spread of the root where it learns that.

    Args:
        learner: A machine.
        targets: In their unit ``[n]``.
        outputs: What the Gaussian process learns of them ``[n]``.
    """
    if not learner.root:
        return outputs, 0.0, 1.0
    values = targets.double()
    root = values.sign() * values.abs().sqrt()
    low, middle, high = root.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.double)).tolist()
    spread = max((high - low) / 1.7, 1e-12)  # of a Gaussian, this is the standard deviation
    return (root - middle) / spread, middle, spread


@torch.no_grad()
def learn(learner: Learner, examples: Examples, target: TargetColumn) -> Solution:
    """Learn from examples."""
    covariance = examples.covariances[learner.kernel]
    if not learner.machine:
        factor = target.process.factorise(covariance, noise_factor=learner.strength, weights=examples.weights)
        outputs = target.clipped(examples.outputs).double()
        dual = torch.cholesky_solve(outputs[:, None], factor)[:, 0].float()
        return Solution(dual, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.double))
    outputs, median, spread = machine_outputs(learner, examples.targets, examples.outputs)
    svr = SVR(kernel="precomputed", C=learner.strength, epsilon=EPSILON, tol=1e-2, cache_size=500, max_iter=100_000)
    weights = None if examples.weights is None else examples.weights.double().numpy()
    svr.fit(covariance.double().numpy(), outputs.double().numpy(), sample_weight=weights)
    dual = torch.zeros(len(outputs))
    dual[torch.from_numpy(svr.support_).long()] = torch.from_numpy(svr.dual_coef_[0]).float()
    return Solution(dual, torch.tensor([svr.intercept_[0], learner.root, median, spread], dtype=torch.double))
