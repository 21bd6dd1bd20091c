"""The mean of several learners, with shares that cross-validation chooses.

Ensemble selection (Caruana et al., ICML 2004): beginning with nothing, the learner after which the mean of those taken
has the lowest mean absolute error is taken, again and again, the same one as often as it helps; its share is how often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from moe_mat.mixture.growing import GrowingModule
from moe_mat.mixture.heads.learners import KERNELS, Examples, Kernel, Learner, Solution, TargetColumn, learn
from moe_mat.mixture.inner_folds import folds
from moe_mat.mixture.weights import weighted_mean

N_STEPS = 10


def out_of_fold(learners: Sequence[Learner], examples: Examples, target: TargetColumn) -> Tensor | None:
    """What each learner says of crystals that it has not seen, by cross-validation.

    Returns:
        Predictions in the target's unit ``[n_learners, n]``; ``None`` where there are too few crystals for folds.
    """
    n = len(examples.targets)
    predicted = torch.empty(len(learners), n)
    for held, kept in folds(n):
        if not len(kept):
            return None
        seen = examples.some(kept)
        for number, learner in enumerate(learners):
            to_seen = examples.covariances[learner.kernel][held][:, kept]
            predicted[number, held] = learn(learner, seen, target).predict(to_seen, target)
    return predicted


def select(predicted: Tensor, targets: Tensor, weights: Tensor | None = None, *, squared: bool = False) -> Tensor:
    """Shares of learners ``[n_learners]``, which sum to 1, by ensemble selection.

    Args:
        predicted: Of crystals that the learners have not seen ``[n_learners, n]``.
        targets: Their values ``[n]``.
        weights: How much their errors count ``[n]``.
        squared: Whether errors count by their squares: the mean absolute error of a score between 0 and 1 is lowest
            where it is the more likely of them, and no probability.

    Example:
        >>> select(torch.tensor([[0.0, 2.0], [2.0, 0.0], [9.0, 9.0]]), torch.tensor([1.0, 1.0]))
        tensor([0.5000, 0.5000, 0.0000])
    """
    taken, total = torch.zeros(len(predicted)), torch.zeros_like(targets)
    for step in range(1, N_STEPS + 1):
        errors = (total + predicted) / step - targets
        errors = weighted_mean(errors.square() if squared else errors.abs(), weights)
        best = int(errors.argmin())
        taken[best] += 1
        total = total + predicted[best]
    return taken / N_STEPS


class Ensemble(GrowingModule):
    """The learners of one target that have a share.

    Attributes:
        learners: These; empty after loading, when there is nothing more to learn.
        described: Columns of the support for the descriptor kernel ``[n_support, width]``, empty where it has no share.
    """

    shares: Tensor
    duals: Tensor
    constants: Tensor
    kernels: Tensor
    described: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.learners: list[Learner] = []
        for name in ("shares", "duals", "described"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("constants", torch.zeros(0, dtype=torch.double))
        self.register_buffer("kernels", torch.zeros(0, dtype=torch.long))

    @property
    def fitted(self) -> bool:
        """Whether there is anything to predict with."""
        return len(self.duals) > 0

    def uses(self, kernel: Kernel) -> bool:
        """Whether a learner on this kernel has a share."""
        return bool((self.kernels == KERNELS.index(kernel)).any())

    def choose(self, learners: Sequence[Learner], shares: Tensor) -> None:
        """Keep the learners with a share."""
        self.learners = [learner for learner, share in zip(learners, shares.tolist(), strict=True) if share]
        self.shares = shares[shares > 0]
        self.kernels = torch.tensor([KERNELS.index(learner.kernel) for learner in self.learners])

    def fit(self, examples: Examples, target: TargetColumn) -> None:
        """Learn from examples, which become the support."""
        self.keep([learn(learner, examples, target) for learner in self.learners])

    def keep(self, solutions: Sequence[Solution]) -> None:
        """Predict with what each learner has learned, whose weights are those of the support."""
        self.duals = torch.stack([solution.dual for solution in solutions])
        self.constants = torch.stack([solution.constants for solution in solutions])

    def forward(self, to_support: Mapping[Kernel, Tensor], target: TargetColumn) -> Tensor:
        """What each learner says, in the target's unit ``[n_learners, n]``.

        Args:
            to_support: Covariances with the support ``[n, n_support]``.
            target: That was learned.
        """
        learned = zip(self.kernels.tolist(), self.duals, self.constants, strict=True)
        return torch.stack(
            [
                Solution(dual, constants).predict(to_support[KERNELS[kernel]], target)
                for kernel, dual, constants in learned
            ]
        )
