"""A kernel on the single columns of descriptors and of networks' predictions, without a gate.

The gated kernel knows an expert by one distance in all its columns. This one adds what that cannot say: a trend along a
quantity, and crystals that are alike in most quantities and far apart in a few. It is the sum of a linear kernel and a
Laplacian one on the city-block distance (Hansen et al., Journal of Chemical Theory and Computation 9, 3404, 2013), both
on standardised columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from moe_mat.encoders import get_encoder
from moe_mat.mixture.distances import of_pairs
from moe_mat.zoo.cards import EncoderCard, ExpertCard, NetworkCard

# The linear kernel's share of the variance.
LINEAR = 0.5
# Standard deviations at which columns are cut: a line must not run away along a single one.
FARTHEST = 3.0


city_block = partial(torch.cdist, p=1)


def has_quantities(card: ExpertCard) -> bool:
    """Whether each column of an expert is a quantity of the crystal: of descriptors, and of what networks predict."""
    if isinstance(card, NetworkCard):
        return card.network.output == "none"
    return isinstance(card, EncoderCard) and not get_encoder(card.encoder).learned


class DescriptorKernel(nn.Module):
    """Covariance of crystals by the columns of the experts that have quantities; its mean variance is 1.

    Args:
        cards: Of all experts.
    """

    scales: Tensor

    def __init__(self, cards: Sequence[ExpertCard]) -> None:
        super().__init__()
        self.dims = [card.dim for card in cards]
        self.experts = [number for number, card in enumerate(cards) if has_quantities(card)]
        # Of training crystals: mean squared length, and median distance.
        self.register_buffer("scales", torch.ones(2))

    def fit(self, columns: Tensor) -> None:
        """Set the scales from training crystals ``[n, width]``."""
        distances = city_block(columns, columns)
        self.scales.copy_(torch.stack([columns.square().sum(1).mean(), distances.median()]).clamp_min(1e-6))

    def columns(self, standardised: Tensor) -> Tensor:
        """All experts' standardised embeddings ``[n, sum(dims)]`` to the columns that count here ``[n, width]``."""
        parts = standardised.split(self.dims, dim=1)
        return torch.cat([parts[expert] for expert in self.experts], dim=1).clamp(-FARTHEST, FARTHEST)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance ``[n, m]`` of the columns of crystals ``[n, width]`` and ``[m, width]``."""
        squared_length, distance = self.scales
        laplacian = (-of_pairs(city_block, a, b) / distance).exp()
        return LINEAR * (a @ b.T) / squared_length + (1 - LINEAR) * laplacian
