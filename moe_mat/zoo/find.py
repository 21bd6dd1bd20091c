"""Names find cards: tags, patterns, folders and files."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from moe_mat.experts import TIERS
from moe_mat.zoo.card_files import CardError, zoo_folder
from moe_mat.zoo.cards import ExpertCard, read_card


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
        names: Tags, patterns, folders of cards, card files, ``folder/pattern``, or one of the sets ``"light"``,
            ``"default"``, ``"all"`` and ``"composition"``; one, or several.

    Raises:
        CardError: When a name finds nothing, or when two different experts have the same tag.
    """
    cards: dict[str, ExpertCard] = {}
    for name in [names] if isinstance(names, str) else names:
        for card in [card for tag in TIERS.get(name, (name,)) for card in _find(tag)]:
            known = cards.setdefault(card.tag, card)
            if known.path.resolve() != card.path.resolve():
                raise CardError(f"two experts have the tag {card.tag}: {known.path} and {card.path}; rename one")
    return list(cards.values())
