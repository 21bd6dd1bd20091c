"""The mixture with a kernel head: gates learned by marginal likelihood, all training crystals as support.

Several learners share the learned kernel, the Gaussian process itself (`gaussian_process`) and support vector machines;
others have a kernel on descriptors (`descriptor_kernel`). Cross-validation over training and validation crystals
chooses their shares in the prediction (`ensemble`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.heads.base import register_head
from moe_mat.mixture.heads.descriptor_kernel import DescriptorKernel
from moe_mat.mixture.heads.doubt import Doubt, out_of_fold_doubt
from moe_mat.mixture.heads.ensemble import Ensemble, out_of_fold, select
from moe_mat.mixture.heads.gated import GatedHead
from moe_mat.mixture.heads.kernel_rows import SaidOfTarget, Seen, TargetRows
from moe_mat.mixture.heads.learners import Examples, Kernel, TargetColumn, candidates
from moe_mat.mixture.predicted import HeldOut, Predicted
from moe_mat.mixture.settings import KernelSettings
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard

# Training crystals that the marginal likelihood sees: its cost grows with their cube. All of them serve as support.
MAX_ROWS = 600
# Crystals that choose the shares of the learners.
MAX_CHOICE_ROWS = 1000
# Of more crystals these are too few to know how far new ones will be from those that predict them. Then the validation
# rows tell, if they are so many.
MOST_BY_CHOICE, MIN_VALIDATION_ROWS = 1600, 100
# Bytes that predicting takes for each pair of a crystal and one of the support.
PREDICTED = 44.0


@register_head("kernel")
class KernelHead(GatedHead):
    """Several learners for each target, on the gated distance and on descriptors.

    The likelihood is exact and needs few steps, each of which costs less than its validation.

    Args:
        cards: Of the experts.
        transform: Of the targets.
        settings: Of the gates.
    """

    Settings = KernelSettings
    max_epochs = 60
    validate_every = 5
    full_batch = True
    weighs = True
    settings: KernelSettings
    bounds: Tensor

    def __init__(self, cards: Sequence[ExpertCard], transform: TargetTransform, settings: KernelSettings) -> None:
        super().__init__(cards, transform, settings)
        n_targets = len(transform.mean)
        self.ensembles = nn.ModuleList(Ensemble() for _ in range(n_targets))
        self.descriptors = DescriptorKernel(cards)
        # Lowest and highest prediction: an inverted logarithm must not run away.
        self.register_buffer("bounds", torch.tensor([[-torch.inf], [torch.inf]]).repeat(1, n_targets))
        self._seen: list[Seen] = []
        self._held: HeldOut | None = None

    @classmethod
    def memory(cls, n_rows: int, *, n_models: int = 1, n_columns: int = 1) -> float:
        """Covariances of two kernels and what learners take, or covariances of crystals that are predicted at once.

        A factor stays in memory for each column of each model.
        """
        return max(32.0 * n_rows**2, PREDICTED * n_rows * AT_ONCE) + 8.0 * n_models * n_columns * n_rows**2

    def fit_constants(self, train: Batch) -> None:
        """Set the scales from the training rows, and choose those that the marginal likelihood sees."""
        assert train.targets is not None
        embeddings, targets = train.embeddings, train.targets
        self.scaling.fit(embeddings)
        outputs = self.transform(targets)
        order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(self.seed))
        if self.descriptors.experts:
            self.descriptors.fit(self._described(embeddings[order[:MAX_ROWS]]))
        self._seen = []
        before: Tensor | None = None
        for column, values in enumerate(targets.unbind(1)):
            rows = order[values[order].isfinite()]
            self._bound(column, values[rows])
            rows = rows[:MAX_ROWS]
            if before is None or not torch.equal(rows, before):
                parts = self.scaling(embeddings[rows])
                distances = torch.stack([squared_distances(part, part) for part in parts])
                before = rows
            clipped = self.transform.without_outliers_of(outputs[rows, column], column)
            self._seen.append(Seen(parts, distances, clipped, None if train.weights is None else train.weights[rows]))

    def _bound(self, column: int, values: Tensor) -> None:
        if self.transform.of_indicators:  # scores tell crystals apart beyond 0 and 1 too
            return
        low, high = values.aminmax()
        self.bounds[:, column] = torch.stack([low, high + 0.1 * (high - low)])

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean over targets of the negative log marginal likelihood of the training rows, twice.

        The batch is not looked at: a likelihood of crystals that depend on each other has no terms to draw from.
        """
        losses = []
        for column, seen in enumerate(self._seen):
            squared = torch.einsum("ge,enm->gnm", self._weights(column), seen.distances)
            losses.append(self._process(column).negative_log_likelihood(list(squared), seen.outputs, seen.weights))
        loss = torch.stack(losses).mean()
        return loss, loss

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam with short memories: the likelihood is exact, and some sixty steps are all it gets."""
        return torch.optim.Adam(self.parameters(), lr=self.settings.gate_learning_rate, betas=(0.8, 0.95))

    def _solve(
        self, column: int, parts: Sequence[Tensor], mixed: list[Tensor], outputs: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Make crystals the support; returns their covariance."""
        process = self._process(column)
        process.support = torch.cat([parts[expert] for expert in self._used(column)], dim=1)
        return process.solve(mixed, outputs, weights)

    def _described(self, embeddings: Tensor) -> Tensor:
        """Columns of the descriptor kernel ``[n, width]``."""
        return self.descriptors.columns(self.scaling.standardise(embeddings))

    def _said(self, batch: Batch) -> Iterator[SaidOfTarget]:
        parts = self.scaling(batch.embeddings)
        for column in range(len(self.processes)):
            mixed = self._mix(parts, column)
            to_support = self._with_support(column).to_support(mixed)
            target, ensemble = self._target(column), self._ensemble(column)
            if ensemble.fitted:
                covariances: dict[Kernel, Tensor] = {"gated": to_support}
                if ensemble.uses("descriptors"):
                    covariances["descriptors"] = self.descriptors(self._described(batch.embeddings), ensemble.described)
                yield SaidOfTarget(mixed, to_support, ensemble(covariances, target), ensemble.shares)
            else:
                yield SaidOfTarget(mixed, to_support, target.in_unit(target.process(to_support))[None], torch.ones(1))

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        return torch.stack([said.values for said in self._said(batch)], dim=1)

    def _ensemble(self, column: int) -> Ensemble:
        return cast(Ensemble, self.ensembles[column])

    def _target(self, column: int) -> TargetColumn:
        return TargetColumn(self.transform, column, self.bounds[:, column], self._process(column))

    @torch.no_grad()
    def predict(self, batch: Batch) -> Predicted:
        """Targets, with what process and learners say of their own errors."""
        columns = []
        for column, said in enumerate(self._said(batch)):
            deviation = self._process(column).std(said.to_support)
            distances = self._with_support(column).distances(said.mixed)
            doubt = Doubt(said.of_learners, said.shares[:, None], deviation, distances)
            columns.append(doubt.predicted(self._target(column)))
        return Predicted(*(torch.stack(of_kind, dim=1) for of_kind in zip(*columns, strict=True)))

    def held_out(self, val: Iterable[Batch]) -> HeldOut:
        """What cross-validation over training and validation rows said, in `finish`.

        Of many rows it saw a part, so that crystals were farther from those that predict them than new ones will be.
        Then it is what all training rows say of the validation rows, but of classes, whose scores need no distances.
        """
        assert self._held is not None
        if len(self._held.ids) > MOST_BY_CHOICE and not self.transform.of_indicators:
            of_val = super().held_out(val)
            if len(of_val.ids) >= MIN_VALIDATION_ROWS:
                return of_val
        return self._held

    @torch.no_grad()
    def before_validation(self) -> None:
        """Make what the likelihood sees the support, so that the present gates can predict."""
        for column, seen in enumerate(self._seen):
            self._solve(column, seen.parts, self._mix(seen.parts, column), seen.outputs, seen.weights)

    @torch.no_grad()
    def finish(self, train: Batch, val: Batch) -> None:
        """Choose learners by cross-validation over all these rows; the training rows become the support.

        Each fold fits on the others. Where the head does not `refits`, the folds are of the training rows alone.
        """
        self.tried = []
        assert train.targets is not None
        assert val.targets is not None
        parts = (train, val) if self.refits else (train,)
        known = Batch.joined(parts)
        targets = torch.cat([part.targets for part in parts if part.targets is not None])
        said = []
        for column in range(len(self.processes)):
            present = targets[:, column].isfinite().nonzero()[:, 0]
            order = torch.randperm(len(present), generator=torch.Generator().manual_seed(self.seed))[:MAX_CHOICE_ROWS]
            doubt = self._choose(column, self._rows(known, column).some(order))
            said.append(None if doubt is None else (present[order], doubt.predicted(self._target(column))))
        self._held = HeldOut.of_columns(known.ids, targets, said)
        self.refit(train)

    def _choose(self, column: int, rows: TargetRows) -> Doubt | None:
        target = self._target(column)
        described = bool(self.descriptors.experts)
        learners = candidates(skewed=self.transform.is_nonlinear(column), described=described)
        covariances: dict[Kernel, Tensor] = {"gated": target.process.covariance_between(rows.mixed, rows.mixed)}
        if described:
            covariances["descriptors"] = self.descriptors(rows.described, rows.described)
        examples = Examples(covariances, rows.targets, rows.outputs, rows.weights)
        predicted = out_of_fold(learners, examples, target)
        if predicted is None:
            return None
        shares = select(predicted, rows.targets, rows.weights, squared=self.transform.of_indicators)
        self._ensemble(column).choose(learners, shares)
        errors = (predicted - rows.targets).abs().mean(1)
        self.tried += [
            {"target": column, **learner._asdict(), "cv_mae": error, "share": round(share, 3)}
            for learner, error, share in zip(learners, errors.tolist(), shares.tolist(), strict=True)
        ]
        return out_of_fold_doubt(target, covariances["gated"], rows.mixed, predicted, rows.targets, rows.weights)

    @torch.no_grad()
    def refit(self, batch: Batch) -> None:
        """Make these rows the support, with everything else as it is."""
        for column in range(len(self.processes)):
            rows, target, ensemble = self._rows(batch, column), self._target(column), self._ensemble(column)
            outputs = target.clipped(rows.outputs)
            covariance = self._solve(column, rows.parts, rows.mixed, outputs, rows.weights)
            if not ensemble.learners:
                continue
            covariances: dict[Kernel, Tensor] = {"gated": covariance}
            if ensemble.uses("descriptors"):
                ensemble.described = rows.described
                covariances["descriptors"] = self.descriptors(rows.described, rows.described)
            ensemble.fit(Examples(covariances, rows.targets, rows.outputs, rows.weights), target)

    def forget(self) -> None:
        """Drop what the likelihood sees: distances in all experts' embeddings, many times the size of the support."""
        self._seen, self._held = [], None

    def _rows(self, batch: Batch, column: int) -> TargetRows:
        assert batch.targets is not None
        present = batch.targets[:, column].isfinite()
        embeddings = batch.embeddings[present]
        parts, described = self.scaling(embeddings), torch.empty(len(embeddings), 0)
        if self.descriptors.experts:
            described = self._described(embeddings)
        outputs = self.transform(batch.targets)[present, column]
        weights, values = None if batch.weights is None else batch.weights[present], batch.targets[present, column]
        return TargetRows(parts, self._mix(parts, column), described, values, outputs, weights)
