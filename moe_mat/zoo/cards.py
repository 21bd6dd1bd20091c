"""Expert cards: what an expert is, where its weights are and what it was trained on; a class for each kind."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from moe_mat.files.whole import write_text
from moe_mat.zoo.card_files import CardError, card_path, check_card_content, parse_card_file, zoo_folder
from moe_mat.zoo.card_parts import CardPart, ModuleOrigin, NetworkShape, PackageWeights, Readout, Weights, WeightsFile

# Part of every digest: raise it when a change of code changes embeddings.
CODE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ExpertCard(ABC):
    """What the cards of all kinds have.

    The fields are those of ``experts/card.schema.json``; ``path`` is the file that the card was read from or goes to.
    """

    tag: str
    title: str
    dim: int
    license: str
    citation: str | list[str]
    path: Path
    weights: Weights | None = None
    target: str | None = None
    unit: str | None = None
    source: str | dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    training_crystals: str | None = None

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hex digest of everything that the embedding depends on."""

    @property
    def reference(self) -> str:
        """What finds this card again: the tag of a card of the package, the path of any other."""
        return self.tag if self.path.parent == zoo_folder() else str(self.path.resolve())

    @property
    def weights_file(self) -> Path | None:
        """The safetensors file beside the card, if the expert has one."""
        return self.path.parent / self.weights.file if isinstance(self.weights, WeightsFile) else None

    @property
    def weights_id(self) -> str:
        """What names the weights: the checksum of their file, or the package that they come with."""
        return "none" if self.weights is None else self.weights.id

    def to_dict(self) -> dict[str, object]:
        """The card as it stands in its file: fields that are empty are left out, except ``weights``."""
        first = ["tag", "title", "dim", "license", "citation", "weights"]
        common = [one.name for one in fields(ExpertCard) if one.name not in ("path", *first)]
        own = [one.name for one in fields(self) if one.name not in ("path", *first, *common)]
        values = {name: _plain(getattr(self, name)) for name in (*first, *own, *common)}
        return {name: value for name, value in values.items() if name == "weights" or value not in (None, {}, [])}


@dataclass(frozen=True, kw_only=True)
class EncoderCard(ExpertCard):
    """Card of an expert that sees crystals: layers of an encoder.

    Attributes:
        encoder: Registered name of the encoder.
        settings: Arguments of its constructor.
        readout: How its layers become the embedding.
    """

    encoder: str
    settings: dict[str, Any] = field(default_factory=dict)
    readout: Readout

    @property
    def digest(self) -> str:
        """Hex digest of code, encoder, settings, readout and weights."""
        readout, weights = self.readout.to_dict(), _plain(self.weights)
        # Empty places are those of what a network has.
        return _digest([CODE_VERSION, self.encoder, self.settings, readout, {}, weights, None, *self._frozen_weights])

    @property
    def encoder_digest(self) -> str:
        """Hex digest of the encoder alone: experts that share it are read off one pass over the crystals."""
        return _digest([CODE_VERSION, self.encoder, self.settings, _plain(self.weights), *self._frozen_weights])

    @property
    def _frozen_weights(self) -> list[str]:
        """What names weights of the encoder that are not among the card's own."""
        return []


@dataclass(frozen=True, kw_only=True)
class ModuleCard(EncoderCard):
    """Card of a module: an encoder that was trained from a backbone. Modules of one backbone can be merged.

    Attributes:
        module: How it came from the backbone.
    """

    module: ModuleOrigin

    @property
    def is_adapter(self) -> bool:
        """Whether its weights are adapters alone, to be put into the layers of the backbone."""
        return self.module.kind == "adapter"

    @property
    def _frozen_weights(self) -> list[str]:
        return [self.module.backbone_weights] if self.is_adapter else []


@dataclass(frozen=True, kw_only=True)
class NetworkCard(ExpertCard):
    """Card of an expert that sees other experts' embeddings: a property network on a trunk.

    Attributes:
        trunk: Tags of the experts whose embeddings, side by side, the network reads.
        trunk_digest: Digest of the trunk that it was trained on.
        network: Its layers.
    """

    trunk: tuple[str, ...]
    trunk_digest: str | None = None
    network: NetworkShape

    @property
    def digest(self) -> str:
        """Hex digest of code, network, weights and trunk."""
        network, weights = self.network.to_dict(), _plain(self.weights)
        # Empty places are those of what an encoder has.
        return _digest([CODE_VERSION, None, {}, {}, network, weights, trunk_digest(find_trunk(self))])


def _plain(value: object) -> object:
    """A field as YAML and JSON have it."""
    if isinstance(value, CardPart):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value


def _digest(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_card(path: Path) -> ExpertCard:
    """Read and validate one card.

    Raises:
        CardError: When the file is missing, is not YAML, or does not fit the schema; names the file and the field.
    """
    try:
        return _parse_card(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"cannot read the expert card {path}: {error}") from error


@lru_cache(maxsize=1024)  # a hub of networks asks for the cards of its trunks again and again
def _parse_card(path: Path, text: str) -> ExpertCard:
    content = parse_card_file(path, text) | {"path": path}
    if weights := content["weights"]:
        content["weights"] = (WeightsFile if "file" in weights else PackageWeights).from_dict(weights)
    if "trunk" in content:
        network = NetworkShape.from_dict(content["network"])
        return NetworkCard(**content | {"trunk": tuple(content["trunk"]), "network": network})
    content["readout"] = Readout.from_dict(content["readout"])
    if "module" in content:
        return ModuleCard(**content | {"module": ModuleOrigin.from_dict(content["module"])})
    return EncoderCard(**content)


def validate_card(card: ExpertCard) -> None:
    """Check a card that was made in code.

    Raises:
        CardError: When it does not fit the schema; names the field.
    """
    check_card_content(card.to_dict(), card.path)


def write_card(card: ExpertCard) -> None:
    """Write a card to its path, whole or not at all.

    Raises:
        CardError: When the card does not fit the schema; names the field.
    """
    validate_card(card)
    write_text(card.path, yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True, width=120))


def read_trunk(tags: Iterable[str], folder: Path) -> list[ExpertCard]:
    """The cards of experts that a network of a folder reads, each in that folder or in the package.

    Raises:
        CardError: When one is not there.
    """
    return [read_card(card_path(tag, folder)) for tag in tags]


def trunk_digest(trunk: Iterable[ExpertCard]) -> str:
    """Hex digest of the experts that a network reads."""
    return _digest([card.digest for card in trunk])


def find_trunk(card: NetworkCard) -> list[ExpertCard]:
    """The cards of the experts that a network reads, each beside the network's card or in the package.

    Raises:
        CardError: When one is not there, or is not the one that the network was trained on.
    """
    if card.tag in card.trunk:
        raise CardError(f"expert {card.tag} names itself as its trunk ({card.path})")
    trunk = read_trunk(card.trunk, card.path.parent)
    if card.trunk_digest is not None and trunk_digest(trunk) != card.trunk_digest:
        raise CardError(
            f"expert {card.tag} was trained on another version of trunk ({', '.join(card.trunk)}): pretrain it again"
        )
    return trunk


def find_backbone(card: ModuleCard) -> EncoderCard:
    """The card of the backbone of a module, beside the module's card or in the package.

    Raises:
        CardError: When it is not there, or has other weights than those that the module was trained from.
    """
    backbone = read_card(card_path(card.module.backbone, card.path.parent))
    settings = {name: value for name, value in card.settings.items() if name != "adapter"}
    if (
        isinstance(backbone, EncoderCard)
        and (backbone.encoder, backbone.settings) == (card.encoder, settings)
        and backbone.weights_id == card.module.backbone_weights
    ):
        return backbone
    raise CardError(
        f"module {card.tag} was trained from another version of backbone {backbone.tag} ({backbone.path}): train "
        "it again, or restore the backbone"
    )
