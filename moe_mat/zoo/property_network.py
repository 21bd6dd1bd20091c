"""Property networks: small networks that read other experts' embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_mat.zoo.cards import NetworkCard, find_trunk
from moe_mat.zoo.expert_weights import load_weights


class PropertyNetwork(nn.Module):
    """A small network on the embedding of a trunk; its last layer is the embedding of a property expert.

    Args:
        dim: Width of the trunk's embedding.
        sizes: Widths of the layers; the last one is the expert's width.
        output: ``silu``, or ``none`` for a last layer without activation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, sizes: Sequence[int], output: str = "silu") -> None:
        super().__init__()
        self.output = output
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([dim, *sizes]))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map trunk embeddings ``[n, dim]`` to property embeddings ``[n, sizes[-1]]``."""
        hidden = ((embedding - self.mean) / self.std).clamp(-10, 10)  # a crystal far from the source must not explode
        for i, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden)
            if i < len(self.layers) or self.output == "silu":
                hidden = F.silu(hidden)
        return hidden


def load_network(card: NetworkCard) -> PropertyNetwork:
    """Load the frozen network of a property expert, without the trunk that feeds it.

    Raises:
        WeightsError: When the weights do not have the checksum of the card or do not fit the trunk.
        CardError: When the trunk is not the one of the card.
    """
    width = sum(trunk.dim for trunk in find_trunk(card))
    network = PropertyNetwork(width, card.network.sizes, card.network.output or "silu")
    load_weights(network, card)
    return network.requires_grad_(False).eval()
