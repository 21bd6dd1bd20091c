"""The mixture with a kernel head: gates learned by marginal likelihood, all training crystals as support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from moe_mat.data import Batch
from moe_mat.gate import Gate
from moe_mat.kernel import NEGLIGIBLE, KernelHead, Scaling, squared_distances
from moe_mat.transforms import TargetTransform

# Training crystals that the marginal likelihood sees: its cost grows with their cube. All of them serve as support.
MAX_ROWS = 700
# Training crystals that choose the support vector machine's settings.
MAX_SVR_ROWS = 1500


class KernelMixture(nn.Module):
    """A gate and a `moe_mat.kernel.KernelHead` for each target, on the same scaled embeddings.

    Args:
        dims: Widths of the experts' embeddings.
        transform: Of the targets.
        settings: The arguments of `moe_mat.model.MixtureOfExperts`.
    """

    full_batch = True
    bounds: Tensor

    def __init__(self, dims: Sequence[int], transform: TargetTransform, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        self.transform = transform
        self.scaling = Scaling(dims)
        n_targets, n_gates = len(transform.mean), settings["n_gates"]
        self.gates = nn.ModuleList(
            Gate(len(dims), n_gates=n_gates, top_k=settings["top_k"], temperature=settings["temperature"])
            for _ in range(n_targets)
        )
        self.heads = nn.ModuleList(KernelHead(n_gates) for _ in range(n_targets))
        # Lowest and highest prediction: an inverted logarithm must not run away.
        self.register_buffer("bounds", torch.tensor([[-torch.inf], [torch.inf]]).repeat(1, n_targets))
        self._seen: list[_Seen] = []

    def prepare(self, embeddings: Tensor, targets: Tensor) -> None:
        """Set the constants from the training rows, and choose those that the marginal likelihood sees."""
        self.scaling.fit(embeddings)
        outputs = self.transform(targets)
        order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
        self._seen = []
        for column, values in enumerate(targets.unbind(1)):
            rows = order[values[order].isfinite()]
            low, high = values[rows].aminmax()
            self.bounds[:, column] = torch.stack([low, high + 0.1 * (high - low)])
            rows = rows[:MAX_ROWS]
            parts = self.scaling(embeddings[rows])
            distances = torch.stack([squared_distances(part, part) for part in parts])
            self._seen.append(_Seen(parts, distances, outputs[rows, column]))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean over targets of the negative log marginal likelihood of the training rows, twice.

        The batch is not looked at: a likelihood of crystals that depend on each other has no terms to draw from.
        """
        losses = []
        for column, seen in enumerate(self._seen):
            squared = torch.einsum("ge,enm->gnm", self._weights(column), seen.distances)
            outputs = self.transform.without_outliers_of(seen.outputs, column)
            losses.append(self._head(column).negative_log_likelihood(list(squared), outputs))
        loss = torch.stack(losses).mean()
        return loss, loss

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam with short memories: the likelihood is exact, and some sixty steps are all it gets."""
        return torch.optim.Adam(self.parameters(), lr=self.settings["gate_learning_rate"], betas=(0.8, 0.95))

    def _head(self, column: int) -> KernelHead:
        return cast(KernelHead, self.heads[column])

    def _weights(self, column: int) -> Tensor:
        """Gate weights ``[n_gates, n_experts]`` of one target."""
        return self.gates[column](torch.empty(1))[0]

    def _mix(self, parts: Sequence[Tensor], column: int) -> list[Tensor]:
        """Each gate's mixed embedding ``[n, width]``: its Euclidean distance is the gated distance."""
        return [
            torch.cat([part * w.sqrt() for part, w in zip(parts, weights, strict=True) if w > NEGLIGIBLE], dim=1)
            for weights in self._weights(column)
        ]

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding, targets and gates side by side ``[n, width]``; weights ``[n, n_targets, n_experts]``."""
        parts = self.scaling(batch.embeddings)
        mixed = [of_gate for column in range(len(self.heads)) for of_gate in self._mix(parts, column)]
        weights = torch.cat([self._gate_shares(column) for column in range(len(self.heads))])
        return torch.cat(mixed, dim=1), weights.expand(len(mixed[0]), -1, -1)

    def _gate_shares(self, column: int) -> Tensor:
        # A gate counts by its share of the covariance.
        signal = self._head(column).log_signal.softmax(0)
        return (signal[:, None] * self._weights(column)).sum(0, keepdim=True)

    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``: the mean of Gaussian process and support vector machine."""
        parts = self.scaling(batch.embeddings)
        columns = []
        for column in range(len(self.heads)):
            means = self._head(column)(self._mix(parts, column))
            inverted = [self.transform.inverse_of(mean, column) for mean in means]
            columns.append(torch.stack(inverted).mean(0))
        return torch.stack(columns, dim=1).clamp(*self.bounds)

    @torch.no_grad()
    def std(self, batch: Batch) -> Tensor:
        """Standard deviation of a new measurement in the targets' units ``[n, n_targets]``."""
        parts = self.scaling(batch.embeddings)
        columns = []
        for column in range(len(self.heads)):
            mixed = self._mix(parts, column)
            mean, std = self._head(column)(mixed)[0], self._head(column).std(mixed)
            high, low = (self.transform.inverse_of(mean + sign * std, column) for sign in (1, -1))
            columns.append((high - low) / 2)
        return torch.stack(columns, dim=1)

    @torch.no_grad()
    def before_validation(self) -> None:
        """Make what the likelihood sees the support, so that the present gates can predict."""
        for column, seen in enumerate(self._seen):
            clipped = self.transform.without_outliers_of(seen.outputs, column)
            self._head(column).solve(self._mix(seen.parts, column), clipped, seen.outputs)

    @torch.no_grad()
    def finish(self, train: Batch, val: Batch) -> None:
        """Choose the support vector machine's settings on the validation rows; all training rows become the support."""
        for column in range(len(self.heads)):
            (mixed, outputs), (of_val, _) = (self._rows(batch, column) for batch in (train, val))
            assert val.targets is not None
            true = val.targets[val.targets[:, column].isfinite(), column]
            if len(true):
                self._head(column).choose_svr(
                    _first((mixed, outputs)), (of_val, true), partial(self.transform.inverse_of, column=column)
                )
        self.refit(train)

    @torch.no_grad()
    def refit(self, batch: Batch) -> None:
        """Make these rows the support, with everything else as it is."""
        for column in range(len(self.heads)):
            mixed, outputs = self._rows(batch, column)
            clipped = self.transform.without_outliers_of(outputs, column)
            self._head(column).solve(mixed, clipped, outputs)

    def _rows(self, batch: Batch, column: int) -> tuple[list[Tensor], Tensor]:
        assert batch.targets is not None
        present = batch.targets[:, column].isfinite()
        parts = self.scaling(batch.embeddings[present])
        return self._mix(parts, column), self.transform(batch.targets)[present, column]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the marginal likelihood sees of one target.

    Attributes:
        parts: Scaled embeddings, one ``[m, dim]`` an expert.
        distances: Squared distances in each expert's embedding ``[n_experts, m, m]``.
        outputs: Standardised targets ``[m]``.
    """

    parts: list[Tensor]
    distances: Tensor
    outputs: Tensor


def _first(rows: tuple[list[Tensor], Tensor]) -> tuple[list[Tensor], Tensor]:
    """As many rows as a grid of support vector machines can take in seconds; their order is already random."""
    return [mixed[:MAX_SVR_ROWS] for mixed in rows[0]], rows[1][:MAX_SVR_ROWS]
