"""CGCNN trained from scratch on one source property; the encoder becomes an expert."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from moe_mat.encoders.base import pool
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.graphs.message_passing import GraphBatch
from moe_mat.mixture.heads.mlp import mlp
from moe_mat.pretrain.settings import CGCNNTraining
from moe_mat.pretrain.training import SourceModule


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
        self.layer, width = list(self.encoder.node_layers.items())[-1]
        self.head = mlp(width, targets.shape[1], hidden=[width], activation="softplus")

    def embed(self, inputs: GraphBatch) -> Tensor:
        """The embedding ``[n_crystals, width]``."""
        features = self.encoder(inputs)
        return F.softplus(
            pool(features.nodes[self.layer], features.crystal_of_node, features.n_crystals, statistics=["mean"])
        )

    def forward(self, inputs: GraphBatch) -> Tensor:  # noqa: D102
        return self.head(self.embed(inputs))
