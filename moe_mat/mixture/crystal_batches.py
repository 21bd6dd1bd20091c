"""Crystals of any number as batches that a finished model predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal, structure_key
from moe_mat.encoders import Device
from moe_mat.mixture.batch import Batch, side_by_side
from moe_mat.mixture.crystal_inputs import CrystalInputs
from moe_mat.mixture.settings import Trainable
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import embed_stream
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.pass_workers import PassOver


def crystal_batches(
    cards: Sequence[ExpertCard],
    trainable: Trainable,
    crystals: Iterable[Crystal],
    *,
    refuse: Callable[[LeftOut], None],
    device: Device,
    loader: ExpertLoader | None = None,
    workers: int = 1,
    pass_over: PassOver | None = None,
) -> Iterator[Batch]:
    """Embed and batch crystals in their order, in bounded memory.

    Args:
        cards: The model's experts.
        trainable: What was trained of them.
        crystals: Checked crystals.
        refuse: Called for each crystal that some expert cannot represent; it is left out, unless this raises.
        device: Where encoders compute.
        loader: Keeps the experts that it has loaded for other streams.
        workers: Processes that embed.
        pass_over: These processes, where they are kept for other streams.
    """
    inputs = CrystalInputs(trainable, cards, device)
    embedded = embed_stream(
        cards, crystals, refuse=refuse, device=device, loader=loader, workers=workers, pass_over=pass_over
    )
    for chunk, values in embedded:
        items = inputs([crystal.structure for crystal in chunk])
        partial = None if items is None else inputs.collate(items)
        ids, keys = zip(*((one.material_id, structure_key(one.structure)) for one in chunk), strict=True)
        yield Batch(side_by_side(values), None, ids, partial, keys)
