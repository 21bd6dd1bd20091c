"""Crystals to embeddings: ``material_id`` and one column of vectors an expert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import Device
from moe_mat.shards.work import Identity, Maker, Work, absolute_reference
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import embed_stream
from moe_mat.zoo.find import find_cards


@dataclass(frozen=True)
class Embedding(Work):
    """Embed by experts.

    Attributes:
        experts: What finds their cards, from any working folder.
        device: Where encoders compute.
    """

    experts: tuple[str, ...]
    device: Device

    @classmethod
    def by(cls, cards: Sequence[ExpertCard], device: Device) -> Embedding:
        """Embed by the experts of some cards."""
        return cls(tuple(absolute_reference(card) for card in cards), device)

    @property
    def identity(self) -> Identity:  # noqa: D102
        return {"command": "embed", "experts": {card.tag: card.digest for card in find_cards(self.experts)}}

    def start(self, workers: int) -> Embedder:  # noqa: D102
        return Embedder(find_cards(self.experts), workers=workers, device=self.device)


class Embedder(Maker):
    """Makes rows of embeddings.

    Args:
        cards: Of the experts.
        workers: Processes that compute.
        device: Where encoders compute.
    """

    def __init__(self, cards: Sequence[ExpertCard], *, workers: int, device: Device) -> None:
        super().__init__(cards, workers=workers, device=device)
        vectors = {card.tag: pa.list_(pa.float32(), card.dim) for card in cards}
        self.schema = pa.schema({"material_id": pa.string(), **vectors})

    def tables(self, crystals: Iterable[Crystal], *, refuse: Callable[[LeftOut], None]) -> Iterator[pa.Table]:  # noqa: D102
        for chunk, values in embed_stream(
            self.cards, crystals, refuse=refuse, loader=self.loader, workers=self.workers, pass_over=self.pass_over
        ):
            columns: list[Any] = [pa.array([crystal.material_id for crystal in chunk])]
            columns += [pa.FixedSizeListArray.from_arrays(v.ravel(), v.shape[1]) for v in values.values()]
            yield pa.table(columns, schema=self.schema)
