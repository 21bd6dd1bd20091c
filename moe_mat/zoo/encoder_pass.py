"""What is known of crystals by one encoder: the layers that its experts read, pooled, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moe_mat.encoders import Features
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.experts import EncoderExpert
from moe_mat.zoo.pooled_layers import Block, PooledLayers, lacking, layout_of


class EncoderPass:
    """An encoder's experts, and what is known of some crystals by it.

    Args:
        space: The encoder's digest.
        cards: Experts of this encoder.
        known: Structure key to pooled layers.

    Attributes:
        known: Grows with each `add`.
    """

    def __init__(self, space: str, cards: Sequence[EncoderCard], known: dict[bytes, PooledLayers]) -> None:
        self.space = space
        self.cards = cards
        self.known = known
        self._lacking = lacking(known.values(), cards)

    def lacks(self, key: bytes) -> bool:
        """Whether some expert's embedding of a crystal is not known."""
        row = self.known.get(key)
        return row is None or row.layout in self._lacking

    def add(self, rows: Mapping[bytes, PooledLayers]) -> dict[bytes, PooledLayers]:
        """Take what the encoder has said of some crystals.

        Args:
            rows: Structure key to pooled layers.

        Returns:
            Those of the crystals of which something was lacking, beside what was known of them.
        """
        new = {
            key: self.known[key].joined(row) if key in self.known else row
            for key, row in rows.items()
            if self.lacks(key)
        }
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
