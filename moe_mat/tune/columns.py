"""Embeddings of the experts that are compared: each crystal is embedded once by each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.encoders import Device
from moe_mat.files.progress import Progress
from moe_mat.mixture.crystal_inputs import embed_rows
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts


class Columns:
    """Embeddings of some crystals by tag of the expert.

    Args:
        structures: The crystals ``[n]``.
        names: Of the crystals, for messages.
        embeddings: By the experts of ``cards``, side by side ``[n, sum(dims)]``.
        cards: These.
        on_unknown_element: What happens to experts that do not know some element.
        workers: Processes that embed.
        device: Where encoders compute.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        names: Sequence[str],
        embeddings: Tensor,
        cards: Sequence[ExpertCard],
        *,
        on_unknown_element: OnUnknownElement,
        workers: int,
        device: Device,
    ) -> None:
        self.structures, self.names, self.workers, self.device = structures, names, workers, device
        self.on_unknown_element = on_unknown_element
        parts = embeddings.split([card.dim for card in cards], dim=1)
        self._known = {card.tag: part for card, part in zip(cards, parts, strict=True)}

    def cards(self, experts: str | list[str]) -> list[ExpertCard]:
        """The experts that names stand for, without those that are to be left out for want of an element."""
        cards = find_cards(experts)
        if self.on_unknown_element == "drop_expert":
            cards = KnowingExperts.of(cards, self.structures).cards
        return cards

    def of(self, cards: Sequence[ExpertCard]) -> Tensor:
        """The embeddings of experts side by side ``[n, sum(dims)]``.

        Raises:
            ValueError: When one cannot represent a crystal; names both.
        """
        new = [card for card in cards if card.tag not in self._known]
        if new:
            total = len(self.structures)
            with Progress("embedding crystals", total=total) as progress, EmbeddingCache() as cache:
                advance, workers = progress.advance, self.workers
                values, embedded = embed_rows(
                    new, self.structures, cache=cache, advance=advance, workers=workers, device=self.device
                )
            if embedded.refused:
                row, reason = next(iter(embedded.refused.items()))
                raise ValueError(f"{len(embedded.refused)} crystals cannot be embedded, as {self.names[row]}: {reason}")
            parts = values.split([card.dim for card in new], dim=1)
            self._known |= {card.tag: part for card, part in zip(new, parts, strict=True)}
        return torch.cat([self._known[card.tag] for card in cards], dim=1)
