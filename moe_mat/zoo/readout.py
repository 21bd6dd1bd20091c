"""Readout: an encoder's features of atoms and crystals become an embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_mat.encoders.base import Features, pool
from moe_mat.zoo.card_parts import Readout


def read_out(features: Features, readout: Readout) -> Tensor:
    """Read layers out into an embedding ``[n_crystals, dim]``.

    Layers stand side by side; those that describe atoms are pooled over the atoms of each crystal.

    Args:
        features: Of an encoder.
        readout: What is read.
    """
    pooled_by = list(readout.pooled_by)
    parts = [
        features.crystals[layer]
        if layer in features.crystals
        else pool(features.nodes[layer], features.crystal_of_node, features.n_crystals, statistics=pooled_by)
        for layer in readout.layers
    ]
    return activate(torch.cat(parts, dim=1), readout)


def activate(pooled: Tensor, readout: Readout) -> Tensor:
    """The last step of a readout: its activation on what was pooled ``[n_crystals, dim]``."""
    return F.softplus(pooled) if readout.activation == "softplus" else pooled
