"""Expert cards: the YAML file that says what an expert is, where its weights are and what it was trained on."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import moe_mat.experts
from moe_mat.files.whole import write_text

# Part of every digest: raise it when a change of code changes embeddings.
CODE_VERSION = 1


class CardError(ValueError):
    """A card that is not valid, not there, or does not fit its weights."""


def zoo_folder() -> Path:
    """The folder of the cards and weights that come with the package."""
    return Path(str(files(moe_mat.experts)))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ExpertCard:
    """One card. The fields are those of ``experts/card.schema.json``; ``path`` is the file that it was read from."""

    tag: str
    title: str
    dim: int
    license: str
    citation: str | list[str]
    path: Path
    weights: dict[str, str] | None = None
    encoder: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    readout: dict[str, Any] = field(default_factory=dict)
    trunk: list[str] = field(default_factory=list)
    trunk_digest: str | None = None
    network: dict[str, Any] = field(default_factory=dict)
    module: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    unit: str | None = None
    source: str | dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    training_crystals: str | None = None

    @property
    def reference(self) -> str:
        """What finds this card again: the tag of a card of the package, the path of any other."""
        return self.tag if self.path.parent == zoo_folder() else str(self.path.resolve())

    @property
    def weights_file(self) -> Path | None:
        """The safetensors file beside the card, if the expert has one."""
        return self.path.parent / self.weights["file"] if self.weights and "file" in self.weights else None

    @property
    def is_adapter(self) -> bool:
        """Whether its weights are adapters alone, to be put into the layers of a backbone."""
        return self.module.get("kind") == "adapter"

    @property
    def weights_id(self) -> str:
        """What names the weights: the checksum of their file, or the package that they come with."""
        weights = self.weights or {}
        return weights.get("sha256") or " ".join(weights.values()) or "none"

    @property
    def digest(self) -> str:
        """Hex digest of everything that the embedding depends on: code, encoder, settings, readout and weights."""
        content = [CODE_VERSION, self.encoder, self.settings, self.readout, self.network, self.weights]
        return _digest([*content, trunk_digest(find_trunk(self)) if self.trunk else None, *self._backbone])

    @property
    def encoder_digest(self) -> str:
        """Hex digest of the encoder alone: experts that share it are read off one pass over the crystals."""
        return _digest([CODE_VERSION, self.encoder, self.settings, self.weights, *self._backbone])

    @property
    def _backbone(self) -> list[str]:
        return [self.module["backbone_weights"]] if self.is_adapter else []

    def to_dict(self) -> dict[str, Any]:
        """The card as it stands in its file: fields that are empty are left out, except ``weights``."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "path"}
        return {name: value for name, value in values.items() if name == "weights" or value not in (None, {}, [])}


@lru_cache(maxsize=1)
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((zoo_folder() / "card.schema.json").read_text()))


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
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CardError(f"cannot read the expert card {path}: {error}") from error
    _validate(content, path)
    if content["tag"] != path.stem:
        raise CardError(f"the expert card {path} has the tag {content['tag']!r}: name the file {content['tag']}.yaml")
    return ExpertCard(path=path, **content)


def _validate(content: Any, path: Path) -> None:
    problems = [f"{e.json_path.removeprefix('$.')}: {e.message}" for e in _validator().iter_errors(content)]
    if problems:
        raise CardError(f"the expert card {path} is not valid: {'; '.join(problems)}")


def validate_card(card: ExpertCard) -> None:
    """Check a card that was made in code.

    Raises:
        CardError: When it does not fit the schema; names the field.
    """
    _validate(card.to_dict(), card.path)


def write_card(card: ExpertCard) -> None:
    """Write a card to its path, whole or not at all.

    Raises:
        CardError: When the card does not fit the schema; names the field.
    """
    validate_card(card)
    write_text(card.path, yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True, width=120))


def find_trunk(card: ExpertCard) -> list[ExpertCard]:
    """The cards of the experts that a network reads, each beside the network's card or in the package.

    Raises:
        CardError: When one is not there, or is not the one that the network was trained on.
    """
    if card.tag in card.trunk:
        raise CardError(f"expert {card.tag} names itself as its trunk ({card.path})")
    beside = [card.path.parent / f"{tag}.yaml" for tag in card.trunk]
    trunk = [read_card(path if path.exists() else zoo_folder() / path.name) for path in beside]
    if card.trunk_digest is not None and trunk_digest(trunk) != card.trunk_digest:
        raise CardError(
            f"expert {card.tag} was trained on another version of trunk ({', '.join(card.trunk)}): pretrain it again"
        )
    return trunk


def find_backbone(card: ExpertCard) -> ExpertCard:
    """The card of the backbone of a module, beside the module's card or in the package.

    Raises:
        CardError: When it is not there, or has other weights than those that the module was trained from.
    """
    beside = card.path.parent / f"{card.module['backbone']}.yaml"
    backbone = read_card(beside if beside.exists() else zoo_folder() / beside.name)
    settings = {name: value for name, value in card.settings.items() if name != "adapter"}
    same_encoder = (backbone.encoder, backbone.settings) == (card.encoder, settings)
    if not same_encoder or backbone.weights_id != card.module["backbone_weights"]:
        raise CardError(
            f"module {card.tag} was trained from another version of backbone {backbone.tag} ({backbone.path}): train "
            "it again, or restore the backbone"
        )
    return backbone


def trunk_digest(trunk: Sequence[ExpertCard]) -> str:
    """Hex digest of the experts that a network reads."""
    return _digest([card.digest for card in trunk])


def list_experts(pattern: str = "*", *, folder: str | Path | None = None) -> list[str]:
    """Tags of the experts whose tag fits a pattern.

    Args:
        pattern: A shell pattern such as ``"mp_*"``.
        folder: Look here and not among the experts of the package.

    Example:
        >>> list_experts("chgnet")
        ['chgnet']
    """
    paths = Path(folder or zoo_folder()).glob("*.yaml")
    return sorted(path.stem for path in paths if fnmatch.fnmatchcase(path.stem, pattern))


def _find(name: str) -> list[ExpertCard]:
    path = Path(name).expanduser()
    if path.name == name and (tags := list_experts(name)):
        # A folder of the same name in the working folder must not hide an expert of the package.
        found = [zoo_folder() / f"{tag}.yaml" for tag in tags]
    elif path.is_dir():
        found = [path / f"{tag}.yaml" for tag in list_experts(folder=path)]
    elif path.is_file():
        found = [path]
    elif path.parent != Path() and path.parent.is_dir():
        found = [path.parent / f"{tag}.yaml" for tag in list_experts(path.name, folder=path.parent)]
    else:
        found = []
    if not found:
        close = difflib.get_close_matches(path.name, list_experts(), n=3)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise CardError(
            f"no expert {name!r}: neither a tag of the package (moe-mat experts list) nor a folder with cards.{hint}"
        )
    return [read_card(path) for path in found]


def find_cards(names: str | Sequence[str]) -> list[ExpertCard]:
    """Resolve names to cards.

    Args:
        names: Tags, patterns, folders of cards, card files, ``folder/pattern``, or ``"default"`` for the experts that
            the package recommends; one, or several.

    Raises:
        CardError: When a name finds nothing, or when two different experts have the same tag.
    """
    cards: dict[str, ExpertCard] = {}
    for name in [names] if isinstance(names, str) else names:
        for card in [c for tag in moe_mat.experts.DEFAULT for c in _find(tag)] if name == "default" else _find(name):
            known = cards.setdefault(card.tag, card)
            if known.path.resolve() != card.path.resolve():
                raise CardError(f"two experts have the tag {card.tag}: {known.path} and {card.path}; rename one")
    return list(cards.values())
