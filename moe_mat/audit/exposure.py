"""What an expert learned from, as far as its card and the cards of its trunk say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_mat.audit.quantities import QUANTITIES, determines, quantity_of
from moe_mat.encoders import DEFAULT_POTENTIAL, PotentialEncoder, get_encoder
from moe_mat.files.checksum import file_sha256
from moe_mat.zoo.card_files import CardError, card_path, zoo_folder
from moe_mat.zoo.card_parts import PackageWeights, WeightsFile
from moe_mat.zoo.cards import EncoderCard, ExpertCard, ModuleCard, NetworkCard, find_backbone, find_trunk, read_card

# Name of a potential, as physics has it in its settings, to the expert that has the same weights.
EXPERTS_OF_POTENTIALS = {
    "7net-0": "sevennet0",
    "7net-l3i5": "sevennet_l3i5",
    "7net-mf-0": "sevennet_mf0",
    "chgnet": "chgnet",
    "chgnet-r2scan": "chgnet_r2scan",
}


@dataclass(frozen=True, slots=True, order=True)
class TrainingSet:
    """Crystals of one source, and properties of them that were learned.

    Attributes:
        training_crystals: File that says which crystals, see `moe_mat.crystals.training_crystals.TrainingCrystals`.
        dataset: Name of the source.
        file: The source's file, which has the structures, or several, separated by commas; empty where the card names
            none.
        max_atoms: Largest cell that was trained on; 0 for no limit.
        properties: As the training crystals name them, sorted.
    """

    training_crystals: Path
    dataset: str
    file: str
    max_atoms: int
    properties: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The files, one by one."""
        return self.file.split(", ") if self.file else []

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the properties measure, sorted."""
        return tuple(sorted({quantity_of(name) for name in self.properties}))


@dataclass(frozen=True, slots=True, order=True)
class UnlistedSet:
    """A source of which it is not known one by one which crystals were trained on.

    Attributes:
        source: As the card describes it.
        properties: That were learned from it, sorted; empty where the card does not say.
    """

    source: str
    properties: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the properties measure, sorted."""
        return tuple(sorted({quantity_of(name) for name in self.properties}))

    def may_tell(self, quantity: str) -> bool:
        """Whether a quantity, or one that it follows from, was learned, or may have been, as the card does not say."""
        return not self.quantities or any(one not in QUANTITIES or determines(one, quantity) for one in self.quantities)

    def __str__(self) -> str:
        """The source, and what was learned from it."""
        return f"{self.source}: {', '.join(self.quantities) or 'properties that its card does not name'}"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What an expert learned from, its trunk included. Both empty: it has never seen the value of a property.

    Attributes:
        known: Sources of which each training crystal is known.
        unlisted: Sources of which the crystals are not known one by one.
    """

    known: tuple[TrainingSet, ...] = ()
    unlisted: tuple[UnlistedSet, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """What was learned from the known sources, sorted."""
        return tuple(sorted({quantity for one in self.known for quantity in one.quantities}))

    def may_tell(self, quantity: str) -> bool:
        """Whether crystals that are not known one by one may have told a quantity."""
        return any(one.may_tell(quantity) for one in self.unlisted)

    @property
    def digest(self) -> str:
        """Hex digest of all of it: experts that share it have seen the same."""
        known = [
            [file_sha256(one.training_crystals), one.dataset, one.file, one.max_atoms, one.properties]
            for one in self.known
        ]
        return hashlib.sha256(
            json.dumps([known, [[one.source, one.properties] for one in self.unlisted]]).encode()
        ).hexdigest()[:16]


def exposure_of(card: ExpertCard) -> Exposure:
    """What an expert learned from.

    A network's embedding depends on what its trunk learned: on the crystals and properties of the body that it shares
    with other networks, and on the crystals, mostly unknown, of the encoder below. Likewise a module's on those of its
    backbone, a merged module's on those of all that it was merged from, and physics on those of the potential it asks.

    Raises:
        CardError: When a card of its trunk or its backbone is not there, or not the one that it was trained on.
    """
    properties: dict[tuple[Path, str, str, int], set[str]] = {}
    unlisted = set()
    for one in {found.path: found for found in _with_those_below(card)}.values():
        source = one.source if isinstance(one.source, dict) else {}
        if one.training_crystals is not None and one.target is not None:
            path = (one.path.parent / one.training_crystals).resolve()
            place = (path, source.get("dataset", path.name), source.get("file", ""), source.get("max_atoms") or 0)
            properties.setdefault(place, set()).update(one.target.split(", "))
        elif _learned(one) and not (one.training.get("merged") and _merged_from(one)):
            name = source.get("dataset") or one.source or f"the card of {one.tag} names no source"
            unlisted.add(UnlistedSet(str(name), tuple(sorted(one.target.split(", "))) if one.target else ()))
    known = (TrainingSet(*place, properties=tuple(sorted(names))) for place, names in properties.items())
    return Exposure(tuple(sorted(known)), tuple(sorted(unlisted)))


def group(cards: Sequence[ExpertCard]) -> dict[Exposure, tuple[str, ...]]:
    """Exposure to the tags of the experts that share it, in their order."""
    groups: dict[Exposure, tuple[str, ...]] = {}
    for card in cards:
        exposure = exposure_of(card)
        groups[exposure] = (*groups.get(exposure, ()), card.tag)
    return groups


def _with_those_below(card: ExpertCard) -> Iterator[ExpertCard]:
    yield card
    of_network = find_trunk(card) if isinstance(card, NetworkCard) else []
    of_module = [find_backbone(card)] if isinstance(card, ModuleCard) else []
    for one in (*of_network, *of_module, *_merged_from(card), *_potential_of(card)):
        yield from _with_those_below(one)


def _potential_of(card: ExpertCard) -> list[ExpertCard]:
    """The card of the potential that physics asks for energies and forces; none where it asks none."""
    if not isinstance(card, EncoderCard) or not isinstance(card.weights, WeightsFile):
        return []
    if not issubclass(get_encoder(card.encoder), PotentialEncoder):
        return []
    name = card.settings.get("potential", DEFAULT_POTENTIAL)
    if name not in EXPERTS_OF_POTENTIALS:
        raise CardError(f"{card.path}: there is no potential {name!r}; known: {', '.join(EXPERTS_OF_POTENTIALS)}")
    return [read_card(zoo_folder() / f"{EXPERTS_OF_POTENTIALS[name]}.yaml")]


def _merged_from(card: ExpertCard) -> list[ExpertCard]:
    """The cards of the modules whose weights were merged, beside the card or in the package; none unless all are."""
    try:
        return [read_card(card_path(tag, card.path.parent)) for tag in card.training.get("merged", {})]
    except CardError:
        return []


def _learned(card: ExpertCard) -> bool:
    """Whether weights of its own were fitted to values of properties. What is not known to be a descriptor was."""
    if card.weights is None:
        return False
    if not isinstance(card, EncoderCard) or isinstance(card.weights, PackageWeights):
        return True
    return get_encoder(card.encoder).learned
