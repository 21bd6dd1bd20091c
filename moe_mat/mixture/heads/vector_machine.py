"""A support vector machine on the kernel that the gates have learned.

Its absolute loss serves heavy tails better than a Gaussian does. For skewed targets it may also learn the square root
of the target and not its logarithm: where a few large values make up the error, the logarithm forgives too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from sklearn.svm import SVR
from torch import Tensor

from moe_mat.mixture.heads.gaussian_process import GrowingModule

EPSILON = 0.03
PENALTIES = (1.0, 10.0, 100.0)


class Choice(NamedTuple):
    """What is chosen by cross-validation.

    Attributes:
        root: Learn the square root of the target, in place of what the Gaussian process learns.
        penalty: The support vector machine's C, for a kernel that has the signal's variance.
    """

    root: bool
    penalty: float


def candidates(*, skewed: bool) -> list[Choice]:
    """The settings to choose from."""
    return [Choice(root, penalty) for root in ((False, True) if skewed else (False,)) for penalty in PENALTIES]


class VectorMachine(GrowingModule):
    """Support vector regression of one target; predicts in the target's unit."""

    dual: Tensor
    constants: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("dual", torch.zeros(0))
        # Intercept; whether the root is learned; median and spread of the root.
        self.register_buffer("constants", torch.zeros(4, dtype=torch.double))

    @property
    def fitted(self) -> bool:
        """Whether there is anything to predict with."""
        return len(self.dual) > 0

    @torch.no_grad()
    def fit(self, covariance: Tensor, targets: Tensor, outputs: Tensor, settings: Choice) -> None:
        """Train.

        Args:
            covariance: Of the crystals ``[n, n]``.
            targets: In their unit ``[n]``.
            outputs: What the Gaussian process learns of them ``[n]``.
            settings: What to learn, and how closely.
        """
        median, spread = 0.0, 1.0
        if settings.root:
            root = _root(targets.double())
            low, middle, high = root.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.double)).tolist()
            median, spread = middle, max((high - low) / 1.7, 1e-12)  # of a Gaussian, this is the standard deviation
            outputs = (root - median) / spread
        svr = SVR(kernel="precomputed", C=settings.penalty, epsilon=EPSILON, tol=1e-2, cache_size=500, max_iter=100_000)
        svr.fit(covariance.double().numpy(), outputs.double().numpy())
        self.dual = torch.zeros(len(targets))
        self.dual[torch.from_numpy(svr.support_).long()] = torch.from_numpy(svr.dual_coef_[0]).float()
        self.constants = torch.tensor([svr.intercept_[0], settings.root, median, spread], dtype=torch.double)

    def forward(self, to_support: Tensor, inverse: Callable[[Tensor], Tensor]) -> Tensor:
        """Predictions in the target's unit ``[n]``.

        Args:
            to_support: Covariance with the training crystals ``[n, n_support]``.
            inverse: From what the Gaussian process learns to the target's unit.
        """
        intercept, root, median, spread = self.constants.tolist()
        outputs = to_support @ self.dual + intercept
        if not root:
            return inverse(outputs)
        outputs = outputs * spread + median
        return outputs * outputs.abs()


def _root(values: Tensor) -> Tensor:
    return values.sign() * values.abs().sqrt()
