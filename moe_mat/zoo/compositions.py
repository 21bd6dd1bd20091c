"""Which experts need no structure, and which of them are meant where only formulas are known."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Structure

from moe_mat.crystals.formulas import Formula
from moe_mat.encoders import get_encoder
from moe_mat.experts import TIERS
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.cards import EncoderCard, ExpertCard
from moe_mat.zoo.trunks import EmbeddingOrder

COMPOSITION_TIER = "composition"


def reads_formulas(card: EncoderCard) -> bool:
    """Whether an expert that sees crystals reads layers only that the composition alone gives."""
    return get_encoder(card.encoder).composition_layers >= {*card.readout.layers}


def are_formulas(structures: Sequence[Structure]) -> bool:
    """Whether only the compositions of some crystals are known, which are all alike in this."""
    return len(structures) > 0 and isinstance(structures[0], Formula)


def experts_of_formulas(names: str | Sequence[str]) -> list[str]:
    """Names of experts as they are meant of formulas: any tier is that of the experts which need no structure.

    Example:
        >>> experts_of_formulas("default")
        ['composition']
    """
    given = [names] if isinstance(names, str) else names
    return list(dict.fromkeys(COMPOSITION_TIER if name in TIERS else name for name in given))


def check_formulas(cards: Sequence[ExpertCard], structures: Sequence[Structure]) -> None:
    """Refuse experts that need structures where there are formulas.

    Raises:
        CardError: Names the experts and the remedy.
    """
    if not are_formulas(structures):
        return
    needing = [card.tag for card in cards if not all(map(reads_formulas, EmbeddingOrder.of([card]).roots.values()))]
    if needing:
        named = ", ".join(needing[:3]) + (f" and {len(needing) - 3} more" if len(needing) > 3 else "")
        raise CardError(
            f"{named} cannot embed a formula such as {structures[0].reduced_formula}: a structure is needed. Give "
            f"structures, or fit with the experts of formulas alone (experts: {COMPOSITION_TIER})"
        )
