"""The pass of one encoder over crystals: the layers that its experts read, pooled, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from moe_mat.encoders import Encoder, Features
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.experts import EncoderExpert, ExpertLoader
from moe_mat.zoo.pooled_layers import Block, PooledLayers, lacking, layout_of


class EncoderPass:
    """An encoder, what is known of some crystals by it, and the pass over those of which something is lacking.

    Args:
        space: The encoder's digest.
        cards: Experts of this encoder.
        known: Structure key to pooled layers.

    Attributes:
        known: Grows with each `run`.
    """

    def __init__(self, space: str, cards: Sequence[EncoderCard], known: dict[bytes, PooledLayers]) -> None:
        self.space = space
        self.cards = cards
        self.known = known
        self._lacking = lacking(known.values(), cards)
        self._experts: list[EncoderExpert] = []

    def lacks(self, key: bytes) -> bool:
        """Whether some expert's embedding of a crystal is not known."""
        row = self.known.get(key)
        return row is None or row.layout in self._lacking

    def load(self, loader: ExpertLoader) -> None:
        """Load the experts."""
        self._experts = [loader.encoder_expert(card) for card in self.cards]

    @property
    def encoder(self) -> Encoder:
        """The encoder, asked for what its experts read, after `load`."""
        return self._experts[0].encoder.only({layer for card in self.cards for layer in card.readout.layers})

    def run(self, keys: Sequence[bytes], batch: Any) -> dict[bytes, PooledLayers]:
        """Pass a batch through the encoder.

        Args:
            keys: Of its crystals.
            batch: As the encoder collates it.

        Returns:
            Structure key to pooled layers, of the crystals of which something was lacking.
        """
        with torch.inference_mode():
            rows = pool_layers(self._experts, self.encoder(batch))
        new: dict[bytes, PooledLayers] = {}
        for key, row in zip(keys, rows, strict=True):
            if self.lacks(key):
                new[key] = self.known[key].joined(row) if key in self.known else row
        self.known |= new
        return new


def pool_layers(experts: Sequence[EncoderExpert], features: Features) -> list[PooledLayers]:
    """What experts of one encoder read.

    Args:
        experts: They share the encoder.
        features: Of a batch.

    Returns:
        A row for each crystal. The columns of an expert have its own embedding, bit by bit.
    """
    found: dict[Block, np.ndarray] = {}
    for expert in sorted(experts, key=lambda expert: -expert.dim):  # a wide one has what the narrow ones read
        blocks = expert.blocks
        if not all(block in found for block in blocks):
            values, start = expert(features).float().cpu().numpy(), 0
            for block in blocks:
                found.setdefault(block, values[:, start : start + block.width])
                start += block.width
    layout, rows = layout_of(tuple(found)), np.concatenate(list(found.values()), axis=1)
    return [PooledLayers(layout, row) for row in rows]
