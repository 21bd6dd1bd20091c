"""What the training of encoders needs of crystals beside their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.encoders import Device
from moe_mat.mixture.batch import AT_ONCE, Batch, side_by_side
from moe_mat.mixture.heads.last_convolution import collate_partial, partial_crystals
from moe_mat.mixture.heads.whole_encoders import trainable_encoders
from moe_mat.mixture.settings import Trainable
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embedded import Embedded
from moe_mat.zoo.embeddings import embed_parts
from moe_mat.zoo.experts import ExpertLoader


class CrystalInputs:
    """Makes the inputs of what is trained of the experts: one of each crystal, and batches of them.

    Args:
        trainable: What is trained.
        cards: The experts.
        device: Where those compute that are trained in part, up to there.

    Raises:
        ValueError: When the experts cannot be trained so, or not together.
    """

    def __init__(self, trainable: Trainable, cards: Sequence[ExpertCard], device: Device) -> None:
        loader = ExpertLoader(device)
        self.experts = [] if trainable == "none" else [loader.expert(card) for card in cards]
        self.encoder = trainable_encoders(self.experts)[0].encoder if trainable == "all" else None

    def __call__(self, structures: Sequence[Structure]) -> list[Any] | None:
        """One input of each crystal; ``None`` where nothing is trained."""
        if self.encoder is not None:
            return [self.encoder.prepare(structure) for structure in structures]
        return list(partial_crystals(self.experts, structures)) if self.experts else None

    def collate(self, inputs: list[Any]) -> Any:
        """Join inputs into a batch, which moves to a device by ``to``."""
        return self.encoder.collate(inputs) if self.encoder is not None else collate_partial(inputs)


@dataclass(frozen=True)
class EmbeddedCrystals:
    """Crystals as gate and head see them, before they are batched.

    Attributes:
        embeddings: The experts' embeddings side by side ``[n, sum(dims)]``.
        partial: One input of each crystal, where experts are trained.
        collate: Joins some of these.
        structures: The crystals themselves.
    """

    embeddings: Tensor
    partial: list[Any] | None
    collate: Callable[[list[Any]], Any]
    structures: Sequence[Structure]

    @property
    def batch(self) -> Batch:
        """All of them, without targets."""
        return Batch(self.embeddings, None, [], None if self.partial is None else self.collate(self.partial))

    def joined(self, others: EmbeddedCrystals) -> EmbeddedCrystals:
        """These, and others by the same experts."""
        both = None if self.partial is None or others.partial is None else self.partial + others.partial
        embeddings = torch.cat([self.embeddings, others.embeddings])
        return EmbeddedCrystals(embeddings, both, self.collate, [*self.structures, *others.structures])


def embed_crystals(
    cards: Sequence[ExpertCard],
    structures: Sequence[Structure],
    trainable: Trainable,
    *,
    device: Device,
    workers: int = 1,
) -> EmbeddedCrystals:
    """Crystals as gate and head see them.

    Args:
        cards: The experts.
        structures: Checked crystals.
        trainable: What is trained of the experts.
        device: Where encoders compute.
        workers: Processes that embed.

    Raises:
        CrystalError: When some expert cannot represent one of them; names its position and the reason.
    """
    with EmbeddingCache() as cache:
        # Encoders that are trained make their embeddings anew at every step: the first ones are not worth keeping.
        known = None if trainable == "all" else cache
        values, embedded = embed_rows(cards, structures, cache=known, workers=workers, device=device)
    embedded.require_all(structures)
    inputs = CrystalInputs(trainable, cards, device)
    return EmbeddedCrystals(values, inputs(structures), inputs.collate, structures)


def embed_rows(
    cards: Sequence[ExpertCard],
    structures: Sequence[Structure],
    *,
    cache: EmbeddingCache | None,
    device: Device,
    workers: int,
    advance: Callable[[int], None] | None = None,
) -> tuple[Tensor, Embedded]:
    """Embed crystals into one tensor, some at a time: what that takes beside it does not grow with their number.

    Args:
        cards: The experts.
        structures: Checked crystals.
        cache: Where embeddings are kept.
        device: Where encoders compute.
        workers: Processes that embed.
        advance: Called with the number of crystals that have been dealt with since the last call.

    Returns:
        The experts' embeddings side by side ``[n, sum(dims)]``, and which crystals were refused.
    """
    values, refused, start = torch.empty(len(structures), sum(card.dim for card in cards)), dict[int, str](), 0
    parts = [structures[first : first + AT_ONCE] for first in range(0, len(structures), AT_ONCE)]
    for one in embed_parts(cards, parts, cache=cache, advance=advance, workers=workers, device=device):
        part = side_by_side(one.values)
        values[start : start + len(part)] = part
        refused |= {start + row: reason for row, reason in one.refused.items()}
        start += len(part)
    return values, Embedded({}, refused)
