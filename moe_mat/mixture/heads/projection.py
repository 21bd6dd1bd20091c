"""Projections: embeddings of different widths and scales are brought to one width, so that they can be mixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moe_mat.mixture.heads.standardisation import Standardisation

FARTHEST = 10.0  # standard deviations


class Projections(nn.Module):
    """Standardise each expert's embedding with constants of the training rows, then map it to a common width.

    Args:
        dims: Widths of the experts' embeddings.
        width: Common width. ``None`` only standardises the embeddings, which needs equal widths. (Chang et al. 2022 mix
            them as they come out of a batch normalisation in training mode.)

    Raises:
        ValueError: When ``width`` is ``None`` and the experts' widths differ.
    """

    def __init__(self, dims: Sequence[int], *, width: int | None) -> None:
        super().__init__()
        if width is None and len(set(dims)) > 1:
            raise ValueError(
                f"embeddings of widths {sorted(set(dims))} cannot be mixed without a projection: set a width"
            )
        self.dims = list(dims)
        self.width = width if width is not None else dims[0]
        self.linear = width is not None
        # Experts of equal width share one batched product: twenty small ones cost more in calls than in arithmetic.
        self.groups = {dim: [i for i, d in enumerate(dims) if d == dim] for dim in sorted(set(dims))}
        if width is not None:
            self.weights = nn.ParameterList(
                # As many matrices [width, dim] as experts, so that the scale does not depend on how many they are.
                nn.init.kaiming_uniform_(torch.empty(len(group) * width, dim), nonlinearity="linear")
                .view(len(group), width, dim)
                .mT.contiguous()
                for dim, group in self.groups.items()
            )
            self.bias = nn.Parameter(torch.zeros(len(dims), width))
        self.standardise = Standardisation(sum(dims), limit=FARTHEST)

    def fit(self, embeddings: Tensor) -> None:
        """Set the constants from training embeddings ``[n, sum(dims)]``."""
        self.standardise.fit(embeddings)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings side by side ``[batch, sum(dims)]`` to ``[batch, n_experts, width]``."""
        standardised = self.standardise(embeddings)
        if not self.linear:
            return standardised.view(len(embeddings), len(self.dims), self.width)
        scaled = standardised.split(self.dims, dim=1)
        projected: dict[int, Tensor] = {}
        for group, weight in zip(self.groups.values(), self.weights, strict=True):
            values = torch.stack([scaled[i] for i in group]) @ weight
            projected.update(zip(group, values, strict=True))
        return torch.stack([projected[i] for i in range(len(self.dims))], dim=1) + self.bias
