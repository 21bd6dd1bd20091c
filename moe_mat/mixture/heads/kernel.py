"""The mixture with a kernel head: gates learned by marginal likelihood, all training crystals as support.

Two learners share the learned kernel: the Gaussian process itself (`gaussian_process`) and a support vector machine
(`vector_machine`). Cross-validation over training and validation crystals chooses how they are blended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.gate import Gate
from moe_mat.mixture.heads.base import Head, register_head
from moe_mat.mixture.heads.gaussian_process import NEGLIGIBLE, GaussianProcess, Scaling, squared_distances
from moe_mat.mixture.heads.vector_machine import Choice, VectorMachine, candidates
from moe_mat.mixture.settings import KernelSettings
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard

# Training crystals that the marginal likelihood sees: its cost grows with their cube. All of them serve as support.
MAX_ROWS = 600
# Crystals that choose the support vector machine's settings and the blend, in so many folds.
MAX_CHOICE_ROWS = 1000
N_FOLDS = 5
# Shares of the support vector machine in the prediction.
BLENDS = (0.0, 0.5, 1.0)


@register_head("kernel")
class KernelHead(Head):
    """A gate and a `GaussianProcess` for each target, on the same scaled embeddings.

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
    settings: KernelSettings
    bounds: Tensor
    blend: Tensor

    def __init__(self, cards: Sequence[ExpertCard], transform: TargetTransform, settings: KernelSettings) -> None:
        super().__init__(cards, transform, settings)
        self.scaling = Scaling(self.dims)
        n_targets, n_gates = len(transform.mean), settings.n_gates
        self.gates = nn.ModuleList(
            Gate(len(self.dims), n_gates=n_gates, top_k=settings.top_k, temperature=settings.temperature)
            for _ in range(n_targets)
        )
        self.processes = nn.ModuleList(GaussianProcess(n_gates) for _ in range(n_targets))
        self.machines = nn.ModuleList(VectorMachine() for _ in range(n_targets))
        self.register_buffer("blend", torch.zeros(n_targets))
        self._chosen: dict[int, Choice] = {}
        # Lowest and highest prediction: an inverted logarithm must not run away.
        self.register_buffer("bounds", torch.tensor([[-torch.inf], [torch.inf]]).repeat(1, n_targets))
        self._seen: list[_Seen] = []

    def fit_constants(self, train: Batch) -> None:
        """Set the scales from the training rows, and choose those that the marginal likelihood sees."""
        assert train.targets is not None
        embeddings, targets = train.embeddings, train.targets
        self.scaling.fit(embeddings)
        outputs = self.transform(targets)
        order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(self.seed))
        self._seen = []
        for column, values in enumerate(targets.unbind(1)):
            rows = order[values[order].isfinite()]
            low, high = values[rows].aminmax()
            self.bounds[:, column] = torch.stack([low, high + 0.1 * (high - low)])
            rows = rows[:MAX_ROWS]
            parts = self.scaling(embeddings[rows])
            distances = torch.stack([squared_distances(part, part) for part in parts])
            clipped = self.transform.without_outliers_of(outputs[rows, column], column)
            self._seen.append(_Seen(parts, distances, clipped))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean over targets of the negative log marginal likelihood of the training rows, twice.

        The batch is not looked at: a likelihood of crystals that depend on each other has no terms to draw from.
        """
        losses = []
        for column, seen in enumerate(self._seen):
            squared = torch.einsum("ge,enm->gnm", self._weights(column), seen.distances)
            losses.append(self._process(column).negative_log_likelihood(list(squared), seen.outputs))
        loss = torch.stack(losses).mean()
        return loss, loss

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam with short memories: the likelihood is exact, and some sixty steps are all it gets."""
        return torch.optim.Adam(self.parameters(), lr=self.settings.gate_learning_rate, betas=(0.8, 0.95))

    def _process(self, column: int) -> GaussianProcess:
        return cast(GaussianProcess, self.processes[column])

    def _weights(self, column: int) -> Tensor:
        """Gate weights ``[n_gates, n_experts]`` of one target."""
        return self.gates[column](torch.empty(1))[0]

    def _mix(self, parts: Sequence[Tensor], column: int) -> list[Tensor]:
        """Each gate's mixed embedding ``[n, width]``: its Euclidean distance is the gated distance."""
        return [
            torch.cat([part * w.sqrt() for part, w in zip(parts, weights, strict=True) if w > NEGLIGIBLE], dim=1)
            for weights in self._weights(column)
        ]

    def _used(self, column: int) -> list[int]:
        """Experts that have a weight in some gate."""
        return (self._weights(column) > NEGLIGIBLE).any(0).nonzero()[:, 0].tolist()

    def _solve(self, column: int, parts: Sequence[Tensor], mixed: list[Tensor], outputs: Tensor) -> Tensor:
        """Make crystals the support; returns their covariance."""
        process = self._process(column)
        process.support = torch.cat([parts[expert] for expert in self._used(column)], dim=1)
        return process.solve(mixed, outputs)

    def _with_support(self, column: int) -> GaussianProcess:
        """The process of a target; after loading, the mixed embeddings of its support are made again."""
        process, used = self._process(column), self._used(column)
        if process.mixed is None:
            stored = process.support.split([self.dims[expert] for expert in used], dim=1)
            parts = [torch.empty(0)] * len(self.dims)
            for expert, part in zip(used, stored, strict=True):
                parts[expert] = part
            with torch.inference_mode(False), torch.no_grad():  # they are used in whatever mode comes next
                process.mixed = self._mix(parts, column)
        return process

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding, targets and gates side by side ``[n, width]``; weights ``[n, n_targets, n_experts]``."""
        parts = self.scaling(batch.embeddings)
        mixed = [of_gate for column in range(len(self.processes)) for of_gate in self._mix(parts, column)]
        weights = torch.cat([self._gate_shares(column) for column in range(len(self.processes))])
        return torch.cat(mixed, dim=1), weights.expand(len(mixed[0]), -1, -1)

    def _gate_shares(self, column: int) -> Tensor:
        # A gate counts by its share of the covariance.
        signal = self._process(column).log_signal.softmax(0)
        return (signal[:, None] * self._weights(column)).sum(0, keepdim=True)

    def _to_support(self, batch: Batch) -> list[Tensor]:
        """Each target's covariance with its support ``[n, n_support]``."""
        parts = self.scaling(batch.embeddings)
        return [
            self._with_support(column).to_support(self._mix(parts, column)) for column in range(len(self.processes))
        ]

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""
        columns = []
        for column, to_support in enumerate(self._to_support(batch)):
            inverse, machine = self._inverse(column), cast(VectorMachine, self.machines[column])
            predicted = inverse(self._process(column)(to_support))
            if machine.fitted:
                predicted = torch.lerp(predicted, machine(to_support, inverse), self.blend[column])
            columns.append(predicted)
        return torch.stack(columns, dim=1).clamp(*self.bounds)

    def _inverse(self, column: int) -> Callable[[Tensor], Tensor]:
        return partial(self.transform.inverse_of, column=column)

    @torch.no_grad()
    def std(self, batch: Batch) -> Tensor:
        """Standard deviation of a new measurement in the targets' units ``[n, n_targets]``."""
        columns = []
        for column, to_support in enumerate(self._to_support(batch)):
            mean, std = self._process(column)(to_support), self._process(column).std(to_support)
            high, low = (self._inverse(column)(mean + sign * std) for sign in (1, -1))
            columns.append((high - low) / 2)
        return torch.stack(columns, dim=1)

    @torch.no_grad()
    def before_validation(self) -> None:
        """Make what the likelihood sees the support, so that the present gates can predict."""
        for column, seen in enumerate(self._seen):
            self._solve(column, seen.parts, self._mix(seen.parts, column), seen.outputs)

    @torch.no_grad()
    def finish(self, train: Batch, val: Batch) -> None:
        """Choose settings and blend by cross-validation over all these rows; the training rows become the support."""
        self.tried = []
        for column in range(len(self.processes)):
            rows = [self._rows(batch, column) for batch in (train, val)]
            targets, outputs = (torch.cat([getattr(row, name) for row in rows]) for name in ("targets", "outputs"))
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(self.seed))[:MAX_CHOICE_ROWS]
            mixed = [torch.cat(of_gate)[order] for of_gate in zip(*(row.mixed for row in rows), strict=True)]
            self._choose(column, mixed, targets[order], outputs[order])
        self.refit(train)

    def _choose(self, column: int, mixed: Sequence[Tensor], targets: Tensor, outputs: Tensor) -> None:
        process, inverse = self._process(column), self._inverse(column)
        covariance = process.covariance_between(mixed, mixed)
        settings = candidates(skewed=self.transform.is_nonlinear(column))
        of_process, of_machine = torch.empty(len(targets)), torch.empty(len(settings), len(targets))
        fold_of_row = torch.arange(len(targets)) % N_FOLDS
        for fold in fold_of_row.unique():
            held, kept = (fold_of_row == fold).nonzero()[:, 0], (fold_of_row != fold).nonzero()[:, 0]
            if not len(kept):
                return
            among, to_kept = covariance[kept][:, kept], covariance[held][:, kept]
            clipped = self.transform.without_outliers_of(outputs[kept], column)
            dual = torch.cholesky_solve(clipped.double()[:, None], process.factorise(among))[:, 0].float()
            of_process[held] = inverse(to_kept @ dual)
            for number, setting in enumerate(settings):
                machine = VectorMachine()
                machine.fit(among, targets[kept], outputs[kept], setting)
                of_machine[number, held] = machine(to_kept, inverse)
        bounds = self.bounds[:, column]
        errors = {
            (number, blend): float(
                (torch.lerp(of_process, of_machine[number], blend).clamp(*bounds) - targets).abs().mean()
            )
            for number in range(len(settings))
            for blend in BLENDS
        }
        number, blend = min(errors, key=lambda choice: errors[choice])
        self.tried += [
            {"target": column, **settings[i]._asdict(), "blend": share, "cv_mae": error}
            for (i, share), error in errors.items()
        ]
        self._chosen[column] = settings[number]
        self.blend[column] = blend

    @torch.no_grad()
    def refit(self, batch: Batch) -> None:
        """Make these rows the support, with everything else as it is."""
        for column in range(len(self.processes)):
            rows = self._rows(batch, column)
            clipped = self.transform.without_outliers_of(rows.outputs, column)
            covariance = self._solve(column, rows.parts, rows.mixed, clipped)
            if column in self._chosen and self.blend[column] > 0:
                machine = cast(VectorMachine, self.machines[column])
                machine.fit(covariance, rows.targets, rows.outputs, self._chosen[column])

    def forget(self) -> None:
        """Drop what the likelihood sees: distances in all experts' embeddings, many times the size of the support."""
        self._seen = []

    def _rows(self, batch: Batch, column: int) -> _TargetRows:
        assert batch.targets is not None
        present = batch.targets[:, column].isfinite()
        parts = self.scaling(batch.embeddings[present])
        outputs = self.transform(batch.targets)[present, column]
        return _TargetRows(parts, self._mix(parts, column), batch.targets[present, column], outputs)


class _TargetRows(NamedTuple):
    """The crystals that have a value of one target.

    Attributes:
        parts: Scaled embeddings, one ``[n, dim]`` an expert.
        mixed: Each gate's mixed embeddings ``[n, width]``.
        targets: In their unit ``[n]``.
        outputs: Standardised ``[n]``.
    """

    parts: list[Tensor]
    mixed: list[Tensor]
    targets: Tensor
    outputs: Tensor


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the marginal likelihood sees of one target.

    Attributes:
        parts: Scaled embeddings, one ``[m, dim]`` an expert.
        distances: Squared distances in each expert's embedding ``[n_experts, m, m]``.
        outputs: Standardised targets without outliers ``[m]``.
    """

    parts: list[Tensor]
    distances: Tensor
    outputs: Tensor
