"""What is kept of an encoder's pass over a crystal: layers, pooled and side by side.

Experts that are layers of one encoder share it: each finds its own columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard

# Rows that are side by side in memory while experts take their columns.
STACKED = 4096


class Block(NamedTuple):
    """A layer, pooled in one way.

    Attributes:
        layer: Its name.
        statistic: Over the atoms; empty for a layer that describes the crystal as a whole.
        activation: Of what was pooled.
        width: Number of columns.
    """

    layer: str
    statistic: str
    activation: str
    width: int


class Layout:
    """The blocks of a row, from left to right. Made by `layout_of`, so that equal ones are one object.

    Attributes:
        blocks: These.
        width: Number of their columns.
    """

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        self.blocks = blocks
        self.width = sum(block.width for block in blocks)
        self._columns: dict[Readout, np.ndarray | None] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return layout_of, (self.blocks,)

    def columns(self, readout: Readout) -> np.ndarray | None:
        """Where an embedding stands.

        Args:
            readout: Of an expert of this encoder.

        Returns:
            Its columns ``[dim]``, or ``None`` where some of it is not there.
        """
        if readout not in self._columns:
            self._columns[readout] = self._find(readout)
        return self._columns[readout]

    def _find(self, readout: Readout) -> np.ndarray | None:
        ends = np.cumsum([block.width for block in self.blocks], dtype=int)
        place = {block[:3]: np.arange(end - block.width, end) for block, end in zip(self.blocks, ends, strict=True)}
        activation, columns = readout.activation or "none", []
        for layer in readout.layers:
            of_crystal = (layer, "", activation)
            names = [of_crystal] if of_crystal in place else [(layer, s, activation) for s in readout.pooled_by]
            if any(name not in place for name in names):
                return None
            columns += [place[name] for name in names]
        return np.concatenate(columns)


@lru_cache(maxsize=4096)
def layout_of(blocks: tuple[Block, ...]) -> Layout:
    """The layout of these blocks."""
    return Layout(blocks)


@dataclass(frozen=True, slots=True)
class PooledLayers:
    """Some pooled layers of one crystal by one encoder.

    Attributes:
        layout: What stands where.
        values: ``[sum of the blocks' widths]``, float32.
    """

    layout: Layout
    values: np.ndarray

    def joined(self, other: PooledLayers) -> PooledLayers:
        """These, and those of another row that are not among them, to their right."""
        if self.layout is other.layout:
            return self
        added, parts, start = list(self.layout.blocks), [self.values], 0
        names = {block[:3] for block in added}
        for block in other.layout.blocks:
            if block[:3] not in names:
                added.append(block)
                parts.append(other.values[start : start + block.width])
            start += block.width
        return PooledLayers(layout_of(tuple(added)), np.concatenate(parts))


def lacking(rows: Iterable[PooledLayers], cards: Sequence[EncoderCard]) -> set[Layout]:
    """The layouts among some rows that do not have the embeddings of all these experts."""
    layouts = {row.layout for row in rows}
    return {layout for layout in layouts if any(layout.columns(card.readout) is None for card in cards)}


def embeddings_of(rows: Sequence[PooledLayers | None], cards: Sequence[EncoderCard]) -> list[np.ndarray]:
    """Embeddings by several experts of one encoder.

    Args:
        rows: One a crystal; ``None`` for a crystal that has none.
        cards: Of the experts.

    Returns:
        For each expert ``[n_crystals, dim]``, float32; NaN for a crystal whose row does not have them.
    """
    found = [np.full((len(rows), card.dim), np.nan, dtype=np.float32) for card in cards]
    of_layout: dict[Layout, list[int]] = {}
    for number, row in enumerate(rows):
        if row is not None:
            of_layout.setdefault(row.layout, []).append(number)
    for layout, numbers in of_layout.items():
        columns = [layout.columns(card.readout) for card in cards]
        for start in range(0, len(numbers), STACKED):
            some = numbers[start : start + STACKED]
            stacked = np.stack([row.values for number in some if (row := rows[number]) is not None])
            for embedding, own in zip(found, columns, strict=True):
                if own is not None:
                    embedding[some] = stacked[:, own]
    return found
