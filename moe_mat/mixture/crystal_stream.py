"""Crystals that are to be predicted, as a stream: any number of them in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch.utils.data import IterableDataset

from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.structures import structure_key
from moe_mat.mixture.batch import Batch, side_by_side
from moe_mat.mixture.crystal_inputs import CrystalInputs
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import embed_stream

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
        )
        inputs = CrystalInputs(data.trainable, self.cards, data.device)
        for chunk, values in embed_stream(self.cards, crystals, refuse=data.leave_out, device=data.device):
            items = inputs([crystal.structure for crystal in chunk])
            partial = None if items is None else inputs.collate(items)
            ids, keys = zip(*((one.material_id, structure_key(one.structure)) for one in chunk), strict=True)
            yield Batch(side_by_side(values), None, ids, partial, keys)
