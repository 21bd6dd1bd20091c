"""Methods: one card (YAML) each, which says what kind it is, on which experts and with which settings.

To compare a method of your own, write a card whose ``kind`` is ``package.module:function`` (see
`benchmarks.methods.problem` for what such a function gets and returns) and name its file in ``--methods``.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.methods.problem import Outcome, Problem, Run
from moe_mat.zoo import ExpertCard, find_cards

CARDS = Path(__file__).parent
FIELDS = {
    "method",
    "title",
    "learned_from",
    "kind",
    "experts",
    "fixed_experts",
    "one_expert",
    "settings_of",
    "settings",
    "candidates",
    "note",
}
# What a card may call its kind; the name, and not the place, is part of a method's digest.
KINDS = {
    "median": "benchmarks.methods.baselines:median",
    "forest": "benchmarks.methods.baselines:forest",
    "scratch": "benchmarks.methods.baselines:scratch",
    "concatenation": "benchmarks.methods.baselines:concatenation",
    "ensemble": "benchmarks.methods.baselines:ensemble",
    "mixture": "benchmarks.methods.mixtures:mixture",
    "formulas": "benchmarks.methods.mixtures:formulas",
    "transfer": "benchmarks.methods.mixtures:transfer",
    "merged": "benchmarks.methods.modular:merged",
    "gated": "benchmarks.methods.modular:gated",
    "boosted_trees": "benchmarks.methods.peers:boosted_trees",
    "own_environment": "benchmarks.methods.own_environment:own_environment",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A method, ready to run.

    Attributes:
        name: for tables and folders.
        title: what it is, in a line.
        kind: a name in `KINDS`, or ``package.module:function`` for a function that is not ours.
        experts: tags or card files of the experts that it uses.
        settings: what its function takes.
        candidates: settings among which it chooses on the validation rows.
        digest: hash of all that, weights of the experts included.
    """

    name: str
    title: str
    kind: str
    experts: tuple[str, ...]
    settings: Mapping[str, Any]
    candidates: tuple[Mapping[str, Any], ...]
    digest: str

    def load(self) -> Callable[[Problem], Outcome]:
        """The function that solves a problem."""
        module, _, name = KINDS.get(self.kind, self.kind).rpartition(":")
        function: Run = getattr(importlib.import_module(module), name)
        return lambda problem: function(problem, self.experts, self.settings, self.candidates)


def list_methods() -> list[str]:
    """The names of the cards; ``tl`` takes an expert, as in ``tl:mp_eform`` or ``tl:best``."""
    return sorted(path.stem for path in CARDS.glob("*.yaml"))


def load_method(name: str, *, experts: Sequence[str] = ()) -> Method:
    """A method by the name of its card, or by the path of a card.

    Args:
        name: ``moe``, ``tl:<expert>``, ``my/card.yaml``.
        experts: tags, patterns or folders to use instead of the card's, unless these are ``fixed_experts``.

    Raises:
        ValueError: there is no such method or expert, or the card has a mistake.
    """
    stem, _, argument = name.partition(":") if not name.endswith(".yaml") else (name, "", "")
    path = Path(stem) if stem.endswith(".yaml") else CARDS / f"{stem}.yaml"
    card = _read_card(path)
    if card.get("one_expert", False) != bool(argument):
        hint = "name its expert, as in tl:best or tl:<tag>" if not argument else "it takes no expert"
        raise ValueError(f"Method {name}: {hint}")
    names = card.get("experts", [])
    if experts and names and not card.get("fixed_experts", False):
        names = list(experts)
    cards = find_cards(names) if names else []
    if argument and argument != "best":
        cards = _one(argument, cards)
    if card["kind"] not in KINDS and ":" not in card["kind"]:
        close = difflib.get_close_matches(card["kind"], KINDS, n=3) or list(KINDS)
        raise ValueError(
            f"{path}: there is no kind {card['kind']!r}; there is {', '.join(close)}, or package.module:function"
        )
    settings, candidates = _settings(card, path), tuple(card.get("candidates") or ())
    # Everything that a result depends on but the rows and the code, which a result notes itself.
    content = [card["kind"], settings, candidates, [[expert.tag, expert.digest] for expert in cards]]
    return Method(
        name=f"{card['method']}:{argument}" if argument else card["method"],
        title=card["title"],
        kind=card["kind"],
        experts=tuple(expert.reference for expert in cards),
        settings=settings,
        candidates=candidates,
        digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16],
    )


def title_of(name: str) -> str:
    """What a method is, in a line, by the name in its results; empty for one that has no card here."""
    return _said(name, "title")


def learned_from(name: str) -> str:
    """The rows on which a method is fitted in the end, ``train`` or ``train+val``, by the name in its results.

    Any method may choose by the validation rows: an epoch, settings, an expert. Empty for a method that does not say.
    """
    return _said(name, "learned_from")


def _said(name: str, field: str) -> str:
    path = CARDS / f"{re.split('[: ]', name)[0]}.yaml"
    return str(_read_card(path).get(field, "")) if path.is_file() else ""


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        close = difflib.get_close_matches(path.stem, list_methods(), n=3) or list_methods()
        name = path.stem if path.parent == CARDS else str(path)
        raise ValueError(f"There is no method {name!r}; there is {', '.join(close)}")
    try:
        card: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} is no card: a card is a mapping, as in {CARDS}")
    if unknown := set(card) - FIELDS:
        raise ValueError(f"{path}: unknown {', '.join(sorted(unknown))}; a card has {', '.join(sorted(FIELDS))}")
    return card


def _settings(card: Mapping[str, Any], path: Path) -> dict[str, Any]:
    own = card.get("settings") or {}
    if (name := card.get("settings_of")) is None:
        return own
    base = _read_card(CARDS / f"{name}.yaml")
    if "settings_of" in base:
        raise ValueError(f"{path}: settings_of names {name}, which has those of {base['settings_of']}: name that card")
    return (base.get("settings") or {}) | own


def _one(tag: str, cards: Sequence[ExpertCard]) -> list[ExpertCard]:
    """The expert of a tag: among those given, else of the package."""
    found = [card for card in cards if card.tag == tag] or find_cards(tag)
    if len(found) != 1:
        raise ValueError(
            f"{tag!r} names {len(found)} experts ({', '.join(card.tag for card in found)}): name one of them"
        )
    return found
