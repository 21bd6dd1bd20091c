"""Crystals that are to be predicted, as a stream: any number of them in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch.utils.data import IterableDataset

from moe_mat.crystals.readers import iter_crystals
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.crystal_batches import crystal_batches
from moe_mat.zoo.cards import ExpertCard

if TYPE_CHECKING:
    from moe_mat.mixture.data import CrystalDataModule


class CrystalStream(IterableDataset[Batch]):
    """All crystals of a source in their order, embedded some at a time.

    Args:
        data: Says where the crystals are; what cannot be used is left out there.
        cards: Of the experts.
    """

    def __init__(self, data: CrystalDataModule, cards: Sequence[ExpertCard]) -> None:
        self.data, self.cards = data, cards

    def __iter__(self) -> Iterator[Batch]:
        data = self.data
        crystals = iter_crystals(
            data.source,
            id_column=data.settings.id_column,
            structure_column=data.settings.structure_column,
            on_error=data.settings.on_error,
            left_out=data.left_out,
            columns=(),
        )
        return crystal_batches(
            self.cards,
            data.trainable,
            crystals,
            refuse=data.leave_out,
            device=data.device,
            workers=data.settings.workers,
        )
