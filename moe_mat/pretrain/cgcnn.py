"""CGCNN trained from scratch on one source property; the encoder becomes an expert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.graphs.message_passing import GraphBatch
from moe_mat.mixture.heads.mlp import mlp
from moe_mat.pretrain.settings import CGCNNTraining
from moe_mat.pretrain.training import SourceModule
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.readout import read_out


class CGCNNProperty(SourceModule):
    """``head(softplus(mean over atoms of the last convolution))``; what the head reads is the expert's embedding.

    Args:
        targets: Transformed targets of the training rows ``[n, n_targets]``.
        training: With the settings of the encoder.
        seed: Of everything random during training.
    """

    def __init__(self, targets: Tensor, *, training: CGCNNTraining, seed: int) -> None:
        super().__init__(targets, training, seed=seed)
        self.encoder = CGCNNEncoder(**training.encoder)
        layer, width = list(self.encoder.node_layers.items())[-1]
        self.readout = Readout((layer,), statistics=("mean",), activation="softplus")
        self.head = mlp(width, targets.shape[1], hidden=[width], activation="softplus")

    def embed(self, inputs: GraphBatch) -> Tensor:
        """The embedding ``[n_crystals, width]``."""
        return read_out(self.encoder(inputs), self.readout)

    def forward(self, inputs: GraphBatch) -> Tensor:  # noqa: D102
        return self.head(self.embed(inputs))


def cgcnn_card(module: CGCNNProperty, settings: Mapping[str, Any]) -> Callable[..., EncoderCard]:
    """Makes the card of the expert that a CGCNN became.

    Args:
        module: After the training.
        settings: Arguments of its encoder.
    """
    (layer,) = module.readout.layers
    dim = module.encoder.node_layers[layer]
    return partial(EncoderCard, encoder="cgcnn", settings=dict(settings), readout=module.readout, dim=dim)
