"""Which experts know all elements of some crystals, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element, Structure

from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.trunks import EmbeddingOrder


@dataclass(frozen=True, slots=True)
class KnowingExperts:
    """Experts by what they know.

    Attributes:
        cards: Those that know all elements.
        left_out: What each of the others does not know, one line each.
    """

    cards: list[ExpertCard]
    left_out: list[str]

    @classmethod
    def of(cls, cards: Sequence[ExpertCard], structures: Sequence[Structure]) -> KnowingExperts:
        """Look at all elements of some crystals.

        Args:
            cards: The experts; a network knows what all those know that it stands on.
            structures: Checked crystals.

        Raises:
            ValueError: When no expert is left.
        """
        counts: dict[int, int] = {}  # of crystals by element
        for structure in structures:
            for number in np.unique(structure.atomic_numbers).tolist():
                counts[number] = counts.get(number, 0) + 1
        loader, kept, left_out = ExpertLoader(), [], []
        for card in cards:
            unknown: set[int] = set()
            for root in EmbeddingOrder.of([card]).roots.values():
                known = loader.encoder_expert(root).encoder.known_elements
                unknown |= set() if known is None else counts.keys() - set(known)
            if not unknown:
                kept.append(card)
                continue
            named = ", ".join(f"{Element.from_Z(z).symbol} (in {counts[z]} crystals)" for z in sorted(unknown))
            left_out.append(f"expert {card.tag} is left out, because it does not know {named}")
        if not kept:
            raise ValueError(f"no expert is left: {'; '.join(left_out)}; leave out the crystals with these elements")
        return cls(kept, left_out)
