"""The mixture with a kernel head of many crystals: the same gates and kernels, by landmarks in place of all crystals.

Gates are learned as in `moe_mat.mixture.heads.kernel`. Then some random crystals are landmarks, and the learners are
linear in features (`nystroem`) that every crystal has from its covariance with these: what is learned is again a weight
for each of the support, which the landmarks are, so that prediction is that of the exact head.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from torch import Tensor

from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.heads.base import Head, register_head
from moe_mat.mixture.heads.ensemble import select
from moe_mat.mixture.heads.gaussian_process import GaussianProcess
from moe_mat.mixture.heads.inducing_process import InducingProcess
from moe_mat.mixture.heads.kernel import MAX_ROWS, PREDICTED, KernelHead
from moe_mat.mixture.heads.learners import Kernel, Learner, Solution, candidates
from moe_mat.mixture.heads.linear_machines import FeatureExamples, learn_linear
from moe_mat.mixture.heads.nystroem import NystroemMap
from moe_mat.mixture.predicted import HeldOut

# Time is quadratic in them. What they cost of accuracy, docs/training.md says.
LANDMARKS = 5000
# Features of all crystals together, 2 GB: of very many crystals, fewer landmarks.
MOST_FEATURES = 500_000_000
# Landmarks while learners are chosen, and at least.
CHOICE_LANDMARKS = 2000
# Training crystals that set the scales.
MAX_SCALE_ROWS = 10_000
# Training crystals that learners are fitted on when their shares are chosen, and others that choose them.
MAX_CHOICE_ROWS, MAX_JUDGES = 20_000, 2000
# Of the machines: with fewer weights than crystals, little holds them back.
PENALTIES: dict[Kernel, tuple[float, ...]] = {
    "gated": (3.0, 10.0, 30.0, 100.0),
    "descriptors": (3.0, 10.0, 30.0, 100.0),
}
# Fewer crystals choose nothing.
MIN_CHOICE_ROWS = 10


@register_head("inducing")
class InducingHead(KernelHead):
    """A gate and an `InducingProcess` for each target, on the same scaled embeddings."""

    Process: ClassVar[type[GaussianProcess]] = InducingProcess
    full_batch = False
    one_step = True
    by_rows = True

    @classmethod
    def memory(cls, n_rows: int, *, n_models: int = 1, n_columns: int = 1) -> float:
        """Features of all rows and a few matrices between landmarks, or covariances with these in a prediction."""
        landmarks = n_landmarks(n_rows, n_columns)
        learning = 4.0 * n_rows * landmarks + 8.0 * 8 * landmarks**2
        return max(learning, PREDICTED * landmarks * AT_ONCE) + 20.0 * n_models * n_columns * landmarks**2

    def fit_constants(self, train: Batch) -> None:
        """As in the exact head, where scales are concerned from a random part of the training rows."""
        assert train.targets is not None
        order = torch.randperm(len(train.targets), generator=torch.Generator().manual_seed(self.seed))
        present = train.targets[order].isfinite()
        seen = (present & (present.cumsum(0) <= MAX_ROWS)).any(1)  # of each target as many as the likelihood sees
        seen[:MAX_SCALE_ROWS] = True
        rows = order[seen]
        ids, weights = [train.ids[row] for row in rows], None if train.weights is None else train.weights[rows]
        super().fit_constants(Batch(train.embeddings_at(rows), train.targets[rows], ids, weights=weights))
        for column, values in enumerate(train.targets.unbind(1)):
            self._bound(column, values[values.isfinite()])

    @torch.no_grad()
    def finish(self, train: Batch, val: Batch) -> None:
        """Choose landmarks and learners among the training rows, and learn from them; validation rows are not used."""
        assert train.targets is not None
        self.tried, self._landmarks = [], []
        for column in range(len(self.processes)):
            present = train.targets[:, column].isfinite().nonzero()[:, 0]
            order = present[torch.randperm(len(present), generator=torch.Generator().manual_seed(self.seed))]
            landmarks = order[: n_landmarks(len(order), len(self.processes))]
            self._landmarks.append(landmarks)
            self._place(column, train.embeddings_at(landmarks[:CHOICE_LANDMARKS]))
            self._choose_learners(column, train, order.flip(0))  # landmarks judge last
            if len(landmarks) > CHOICE_LANDMARKS:
                self._place(column, train.embeddings_at(landmarks))
            ensemble = self._ensemble(column)
            if not ensemble.uses("descriptors"):
                ensemble.described = torch.zeros(0)
        self.refit(train)

    def _place(self, column: int, embeddings: Tensor) -> None:
        parts = self.scaling(embeddings)
        support = torch.cat([parts[expert] for expert in self._used(column)], dim=1)
        self._inducing(column).place(support, self._mix(parts, column))
        if self.descriptors.experts:
            self._ensemble(column).described = self._described(embeddings)

    def _inducing(self, column: int) -> InducingProcess:
        return cast(InducingProcess, self._with_support(column))

    def _map(self, column: int, kernel: Kernel) -> NystroemMap:
        process, landmarks = self._inducing(column), self._ensemble(column).described
        if kernel == "gated":
            return NystroemMap(process.factor, lambda some: process.to_support(self._mix(self.scaling(some), column)))
        return NystroemMap(
            process.factorise(self.descriptors(landmarks, landmarks), noise_factor=0.0),
            lambda some: self.descriptors(self._described(some), landmarks),
        )

    def _examples(self, features: NystroemMap, column: int, batch: Batch, rows: Tensor) -> FeatureExamples:
        assert batch.targets is not None
        targets = batch.targets[rows, column]
        outputs, weights = self.transform.of(targets, column), None if batch.weights is None else batch.weights[rows]
        return FeatureExamples(features.features(batch.embeddings_at, rows), targets, outputs, weights)

    def _choose_learners(self, column: int, train: Batch, order: Tensor) -> None:
        """Give learners their shares, by what they say of some crystals when they have learned from others."""
        target, ensemble = self._target(column), self._ensemble(column)
        if len(order) < MIN_CHOICE_ROWS:
            ensemble.choose([Learner("gated", False, False, 1.0)], torch.ones(1))
            return
        judges, known = order.split([n := min(len(order) // 5, MAX_JUDGES), len(order) - n])
        skewed, described = self.transform.is_nonlinear(column), bool(self.descriptors.experts)
        learners = candidates(skewed=skewed, described=described, penalties=PENALTIES)
        predicted = torch.empty(len(learners), len(judges))
        for kernel in dict.fromkeys(learner.kernel for learner in learners):
            features = self._map(column, kernel)
            examples = self._examples(features, column, train, known[:MAX_CHOICE_ROWS])
            of_judges = features.features(train.embeddings_at, judges)
            for number, learner in enumerate(learners):
                if learner.kernel == kernel:
                    weights, constants = learn_linear(learner, examples, target)
                    predicted[number] = Solution(weights.float(), constants).predict(of_judges, target)
            del examples  # the features of two kernels would be in memory at once
        assert train.targets is not None
        values = train.targets[judges, column]
        judged = None if train.weights is None else train.weights[judges]
        shares = select(predicted, values, judged, squared=self.transform.of_indicators)
        ensemble.choose(learners, shares)
        errors = (predicted - values).abs().mean(1)
        self.tried += [
            {"target": column, **learner._asdict(), "cv_mae": error, "share": round(share, 3)}
            for learner, error, share in zip(learners, errors.tolist(), shares.tolist(), strict=True)
        ]

    @torch.no_grad()
    def refit(self, batch: Batch) -> None:
        """Learn from these rows, with landmarks and shares as they are."""
        assert batch.targets is not None
        for column in range(len(self.processes)):
            rows = batch.targets[:, column].isfinite().nonzero()[:, 0]
            target, ensemble = self._target(column), self._ensemble(column)
            solutions: dict[Learner, Solution] = {}
            for kernel in dict.fromkeys(["gated", *(learner.kernel for learner in ensemble.learners)]):
                features = self._map(column, kernel)
                examples = self._examples(features, column, batch, rows)
                if kernel == "gated":
                    self._inducing(column).see(examples.weighted_gram)
                for learner in ensemble.learners:
                    if learner.kernel == kernel:
                        weights, constants = learn_linear(learner, examples, target)
                        solutions[learner] = Solution(features.weights_of_landmarks(weights), constants)
                del examples
            ensemble.keep([solutions[learner] for learner in ensemble.learners])

    def known_rows(self, targets: Tensor) -> list[Tensor]:
        """The landmarks, all of them training rows, which come first."""
        return self._landmarks

    def held_out(self, val: Iterable[Batch]) -> HeldOut:
        """What is said of the validation rows, none of which chose anything but the epoch."""
        return Head.held_out(self, val)


def n_landmarks(n_rows: int, n_columns: int) -> int:
    """How many of so many crystals are landmarks, where so many columns are learned, which cost as much each."""
    affordable = min(int(LANDMARKS / math.sqrt(n_columns)), MOST_FEATURES // max(1, n_rows))
    return min(n_rows, max(CHOICE_LANDMARKS, affordable))
