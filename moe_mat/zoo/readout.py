"""Readout: an encoder's features of atoms and crystals become an embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_mat.encoders import SCALAR_STATISTICS, TENSOR_STATISTICS, Encoder, Features, pool, pool_tensors
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.pooled_layers import Block


def read_out(features: Features, readout: Readout) -> Tensor:
    """Read layers out into an embedding ``[n_crystals, dim]``.

    Layers stand side by side; those that describe atoms are pooled over the atoms of each crystal.

    Args:
        features: Of an encoder.
        readout: What is read.
    """
    parts = [_pooled(features, layer, readout.pooled_by) for layer in readout.layers]
    return activate(torch.cat(parts, dim=1), readout)


def _pooled(features: Features, layer: str, statistics: tuple[str, ...]) -> Tensor:
    if layer in features.crystals:
        return features.crystals[layer]
    if layer in features.nodes:
        of_atoms = features.nodes[layer]
        return pool(of_atoms, features.crystal_of_node, features.n_crystals, statistics=list(statistics))
    return pool_tensors(
        features.tensors[layer],
        features.crystal_of_node,
        features.n_crystals,
        statistics=statistics,
        centrosymmetric=features.centrosymmetric,
    )


def blocks_of(encoder: Encoder, readout: Readout) -> list[Block]:
    """The blocks of an embedding, from left to right.

    Args:
        encoder: The encoder.
        readout: What is read of it.

    Raises:
        ValueError: When the encoder has no such layer, or a layer cannot be pooled by such statistics.
    """
    activation = readout.activation or "none"
    blocks: list[Block] = []
    for layer in readout.layers:
        if layer in encoder.crystal_layers:
            blocks.append(Block(layer, "", activation, encoder.crystal_layers[layer]))
            continue
        of_atoms = encoder.node_layers | encoder.tensor_layers
        if layer not in of_atoms:
            raise ValueError(f"has no layer {layer!r}; it has {', '.join([*of_atoms, *encoder.crystal_layers])}")
        known = TENSOR_STATISTICS if layer in encoder.tensor_layers else SCALAR_STATISTICS
        if unfit := [statistic for statistic in readout.pooled_by if statistic not in known]:
            turns = "turns" if layer in encoder.tensor_layers else "does not turn"
            raise ValueError(
                f"has a layer {layer} which {turns} with the crystal: its statistics are {' and '.join(known)}, "
                f"not {', '.join(unfit)}"
            )
        blocks += [Block(layer, statistic, activation, of_atoms[layer]) for statistic in readout.pooled_by]
    return blocks


def activate(pooled: Tensor, readout: Readout) -> Tensor:
    """The last step of a readout: its activation on what was pooled ``[n_crystals, dim]``."""
    return F.softplus(pooled) if readout.activation == "softplus" else pooled
