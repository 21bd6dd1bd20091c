"""Property networks on a trunk: bodies that groups of properties share, a tower for each property, and predictions."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_mat.pretrain.settings import NetworkTraining
from moe_mat.pretrain.training import SourceModule
from moe_mat.zoo.property_network import PropertyNetwork


class PropertyNetworks(SourceModule):
    """``output(tower(body(embedding)))`` for each property; properties of one group share the body.

    Bodies and towers are the networks of `moe_mat.zoo.property_network`, so that they become experts as they are.

    Args:
        embeddings: The trunk's embeddings of the training rows ``[n, dim]``.
        targets: Transformed targets of the training rows ``[n, n_targets]``, in the order of the groups.
        training: With the groups of targets, sizes of the layers, and dropout between them.
        seed: Of everything random during training.
    """

    def __init__(self, embeddings: Tensor, targets: Tensor, *, training: NetworkTraining, seed: int) -> None:
        super().__init__(targets, training, seed=seed)
        body, tower = training.body, training.tower
        self.dropout = training.dropout
        self.group_of_target = [i for i, names in enumerate(training.groups.values()) for _ in names]
        self.bodies = [PropertyNetwork(embeddings.shape[1], body) for _ in training.groups]
        self.towers = [PropertyNetwork(body[-1], tower) for _ in self.group_of_target]
        self.outputs = [PropertyNetwork(tower[-1], [1], "none") for _ in self.group_of_target]
        # Lists of modules, because module lists know no types.
        self.networks = nn.ModuleList([*self.bodies, *self.towers, *self.outputs])
        mean, std = embeddings.mean(0), embeddings.std(0)
        # A feature that hardly varies must not become noise of unit size.
        std = torch.maximum(std, 1e-4 * embeddings.abs().amax(0) + 1e-6)
        for network in self.bodies:
            network.mean.copy_(mean)
            network.std.copy_(std)

    def forward(self, inputs: Tensor) -> Tensor:  # noqa: D102
        hidden = [F.dropout(body(inputs), self.dropout, self.training) for body in self.bodies]
        rows = zip(self.group_of_target, self.towers, self.outputs, strict=True)
        return torch.cat([output(tower(hidden[group])) for group, tower, output in rows], dim=1)

    def predictions(self) -> PropertyNetwork:
        """All outputs as one network on the towers' embeddings, side by side.

        It gives standardised, transformed targets ``[n, n_targets]``.
        """
        layers = [cast(nn.Linear, network.layers[0]) for network in self.outputs]
        network = PropertyNetwork(sum(layer.in_features for layer in layers), [len(layers)], "none")
        joined = cast(nn.Linear, network.layers[0])
        with torch.no_grad():
            joined.weight.copy_(torch.block_diag(*(layer.weight for layer in layers)))
            joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
        return network
