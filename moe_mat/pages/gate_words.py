"""What a gate leans on, in words that the experts' cards give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moe_mat.audit.quantities import quantity_of
from moe_mat.encoders import PotentialEncoder, get_encoder
from moe_mat.mixture.composition_range import knows_composition_alone
from moe_mat.mixture.heads.base import Head
from moe_mat.zoo.cards import EncoderCard, ExpertCard, ModuleCard, NetworkCard

# Quantities that go together, in words.
FAMILIES = {
    "energies": ("energy", "formation_energy", "energy_above_hull", "exfoliation_energy", "forces", "stress"),
    "elastic properties": (
        "elastic_constants",
        "bulk_modulus",
        "shear_modulus",
        "young_modulus",
        "poisson_ratio",
        "elastic_anisotropy",
    ),
    "electronic properties": ("band_gap", "dielectric_constant", "effective_mass"),
    "transport": ("seebeck_coefficient", "power_factor"),
    "magnetism": ("magnetic_moment",),
}
# Kinds are told until they have this share of the weight, or so many are told.
TOLD_SHARE, MOST_TOLD = 0.75, 3
# From this share on, a model leans on a kind of expert; and from this on, on hardly anything else.
LEANS, ALONE = 0.25, 0.9


@dataclass(frozen=True, slots=True)
class Weighed:
    """An expert, or a kind of them, with its weight."""

    name: str
    what: str
    weight: float


def weighed(weights: Mapping[str, float], cards: Sequence[ExpertCard]) -> list[Weighed]:
    """Experts with the titles of their cards, the heaviest first."""
    titles = {card.tag: _title(card) for card in cards}
    return sorted((Weighed(tag, titles[tag], weight) for tag, weight in weights.items()), key=lambda one: -one.weight)


def kinds(weights: Mapping[str, float], cards: Sequence[ExpertCard]) -> list[Weighed]:
    """Kinds of experts with their tags, the heaviest first."""
    found: dict[str, list[ExpertCard]] = {}
    for card in cards:
        found.setdefault(kind_of(card), []).append(card)
    summed = [
        Weighed(_in_full(kind, of_kind), ", ".join(card.tag for card in of_kind), sum(weights[c.tag] for c in of_kind))
        for kind, of_kind in found.items()
    ]
    return sorted(summed, key=lambda one: -one.weight)


def in_words(kinds: Sequence[Weighed]) -> str:
    """A sentence on what a gate leans on.

    Args:
        kinds: All of them, the heaviest first; their weights sum to 1.
    """
    first = kinds[0]
    if len(kinds) == 1:
        return f"It has nothing but {first.name} to lean on."
    if first.weight >= ALONE:
        return f"It leans on {_with_share(first)}, and on hardly anything else."
    told = [first]
    for one in kinds[1:MOST_TOLD]:
        if sum(kind.weight for kind in told) < TOLD_SHARE and one.weight >= 0.05:
            told.append(one)
    rest = 1 - sum(one.weight for one in told)
    verb = "It leans on" if first.weight >= LEANS else "It spreads its weight widely, first on"
    text = f"{verb} {_with_share(first)}"
    if len(told) > 1:
        text += f", then on {' and '.join(_with_share(one) for one in told[1:])}"
    return f"{text}; all other kinds of experts share {100 * rest:.0f} %." if rest >= 0.005 else f"{text}."


def beside_the_gate(head: Head, columns: Sequence[int]) -> str | None:
    """What part of a target's prediction does not go through the gate; ``None`` where all does, or is not known.

    Args:
        head: Of the model.
        columns: What it learns of the target.
    """
    shares = [(one["kernel"], one["share"]) for one in head.tried if one.get("target") in columns and "kernel" in one]
    beside = sum(share for kernel, share in shares if kernel != "gated") / len(columns)
    if not beside:
        return None
    return (
        f"The gated kernel makes {100 * (1 - beside):.0f} % of the prediction. The other {100 * beside:.0f} % come "
        "from a kernel on the single columns of descriptors and of the networks' predictions, which has no gate."
    )


def kind_of(card: ExpertCard) -> str:
    """What an expert brings along, in words: experts of one kind share them."""
    if isinstance(card, NetworkCard):
        return f"networks for {_family(card)}"
    if isinstance(card, ModuleCard):
        return f"modules for {_family(card)}" if card.target else "modules"
    assert isinstance(card, EncoderCard)
    if knows_composition_alone(card):
        return "the composition"
    encoder = get_encoder(card.encoder)
    if issubclass(encoder, PotentialEncoder):
        return "physics computed with a potential"
    if card.encoder == "table":
        return f"vectors computed elsewhere ({card.tag})"
    if card.encoder == "cgcnn":
        return f"graph networks for {_family(card)}"
    if card.weights is not None and getattr(encoder, "learned", True):
        return f"the potential {card.title.split(',')[0]}"
    return "descriptors of the structure"


def _quantities(card: ExpertCard) -> list[str]:
    return list(dict.fromkeys(quantity_of(one) for one in (card.target or "").split(", ") if one))


def _family(card: ExpertCard) -> str:
    """What an expert was trained for, in words that others may share."""
    names = _quantities(card)
    families = {next((name for name, members in FAMILIES.items() if one in members), one) for one in names}
    if not families:
        return "a property that their card does not name"
    return families.pop().replace("_", " ") if len(families) == 1 else "many properties at once"


def _in_full(kind: str, cards: Sequence[ExpertCard]) -> str:
    """A kind with the one quantity that all its experts were trained for, if it is one."""
    quantities = {one for card in cards for one in _quantities(card)}
    family = _family(cards[0])
    if len(quantities) == 1 and kind.endswith(f"for {family}"):
        return f"{kind.removesuffix(family)}{quantities.pop().replace('_', ' ')}"
    return kind


def _title(card: ExpertCard) -> str:
    """The card's title without the list of the trunk, which is the same for all its networks."""
    head, separator, source = card.title.partition("; ")
    if isinstance(card, NetworkCard) and separator:
        return f"{head.split(', on ')[0]}; {source}"
    return card.title


def _with_share(one: Weighed) -> str:
    return f"{one.name} ({100 * one.weight:.0f} %)"
