"""Gates over scaled embeddings, and a Gaussian process for each target: the gated distance between crystals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.distances import nearest_other
from moe_mat.mixture.gate import Gate
from moe_mat.mixture.heads.base import Head
from moe_mat.mixture.heads.gaussian_process import NEGLIGIBLE, GaussianProcess, Scaling
from moe_mat.mixture.settings import KernelSettings
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard


class GatedHead(Head):
    """A gate and a `GaussianProcess` for each target, on the same scaled embeddings.

    Args:
        cards: Of the experts.
        transform: Of the targets.
        settings: Of the gates.
    """

    Settings = KernelSettings
    Process: ClassVar[type[GaussianProcess]] = GaussianProcess
    settings: KernelSettings

    def __init__(self, cards: Sequence[ExpertCard], transform: TargetTransform, settings: KernelSettings) -> None:
        super().__init__(cards, transform, settings)
        self.scaling = Scaling(self.dims)
        n_targets, n_gates = len(transform.mean), settings.n_gates
        self.gates = nn.ModuleList(
            Gate(len(self.dims), n_gates=n_gates, top_k=settings.top_k, temperature=settings.temperature)
            for _ in range(n_targets)
        )
        self.processes = nn.ModuleList(self.Process(n_gates) for _ in range(n_targets))

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

    @torch.no_grad()
    def remember(self, learned_from: Iterable[Batch]) -> list[Tensor]:
        """Distances of the support, which is kept anyway, from each other."""
        return [nearest_other(self.known_positions(column)) for column in range(len(self.processes))]

    def positions(self, batch: Batch, target: int) -> Tensor:
        """In the embedding of all gates, in length scales."""
        return self._process(target).gated(self._mix(self.scaling(batch.embeddings), target))

    def known_positions(self, target: int) -> Tensor:
        """Those of the support."""
        process = self._with_support(target)
        return process.gated(process.mixed or [])

    def known_rows(self, targets: Tensor) -> list[Tensor]:
        """Those with a value."""
        return [values.isfinite().nonzero()[:, 0] for values in targets.unbind(1)]

    def experts_of_axes(self, target: int) -> Tensor | None:
        """Each gate's experts one after the other, in their widths."""
        used = (self._weights(target) > NEGLIGIBLE).nonzero()[:, 1]
        return used.repeat_interleave(torch.tensor(self.dims)[used])
