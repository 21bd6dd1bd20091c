"""One grammar for all commands: what was typed, as the options that a parser knows.

Crystals are a bare word, ``--path`` or ``--data.path`` in every command; an option may be written with hyphens or
underscores, with or without ``data.``, before or after its ``=``, and is given once.
"""

from __future__ import annotations

import difflib
import re
from argparse import Action
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Options that may be given several times; those that end in + add to a list.
REPEATABLE = {"config"}
_NUMBER = re.compile(r"-\d*\.?\d")


class UsageError(ValueError):
    """A command line that means nothing."""


@dataclass(frozen=True, slots=True)
class Given:
    """An option that was typed, or a bare word.

    Attributes:
        name: Of the option, as the parser knows it; ``None`` of a bare word.
        value: Behind it; ``None`` where there is none.
    """

    name: str | None
    value: str | None

    def __str__(self) -> str:
        """As one argument."""
        if self.name is None:
            return str(self.value)
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Grammar:
    """The options of one command.

    Attributes:
        options: Name to whether a value follows.
        aliases: Another name of an option to its own.
        groups: Names that stand for several options, and take a file with them.
    """

    options: Mapping[str, bool]
    aliases: Mapping[str, str]
    groups: frozenset[str]

    @classmethod
    def of(cls, actions: Mapping[str, Action], *, words: Iterable[str] = (), aliases: Mapping[str, str]) -> Grammar:
        """The grammar of a parser.

        Args:
            actions: Option strings to what a parser does with them.
            words: Names of its positional arguments, which may be given as options too.
            aliases: Other names of options; those that the parser has itself mean these.
        """
        options = {name.lstrip("-"): action.nargs != 0 for name, action in actions.items()}
        options |= dict.fromkeys(words, True)
        groups = {name.rpartition(".")[0] for name in options if not name.endswith(".help")} & options.keys()
        known = {name: own for name, own in aliases.items() if name not in options and own in options}
        return cls(options, known, frozenset(groups))

    def read(self, arguments: Sequence[str]) -> list[Given]:
        """What was typed, in its order.

        Raises:
            UsageError: When there is no such option, or one is given twice.
        """
        given: list[Given] = []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word == "--":
                given += [Given(None, one) for one in rest]
                break
            if not _is_option(word):
                given.append(Given(None, word))
                continue
            typed, equals, value = word.partition("=")
            name = self._name(typed)
            if equals:
                given.append(Given(name, value))
            elif self.options.get(name.removesuffix("+"), True) and rest and not _is_option(rest[0]):
                given.append(Given(name, rest.pop(0)))
            else:
                given.append(Given(name, None))
        _check_once(given)
        return given

    def _name(self, typed: str) -> str:
        """The name of an option as the parser knows it."""
        bare = typed.lstrip("-")
        plus = "+" if bare.endswith("+") else ""
        parts = bare.removesuffix("+").split(".")
        # What follows the longest known name is a key of its value, which may have hyphens of its own.
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            name = name if name in self.options else name.replace("-", "_")
            name = self.aliases.get(name, name)
            if name in self.options and (length == len(parts) or name not in self.groups):
                return ".".join([name, *parts[length:]]) + plus
        raise UsageError(f"there is no option {typed}{self._hint(bare.replace('-', '_'))}")

    def _hint(self, name: str) -> str:
        """Options of a similar name, or whose last part is similar."""
        by_last: dict[str, list[str]] = {}
        for one in self.options:
            by_last.setdefault(one.rpartition(".")[2].removesuffix("+"), []).append(one.removesuffix("+"))
        last = name.rpartition(".")[2]
        close = difflib.get_close_matches(name, [*self.options, *self.aliases], n=2, cutoff=0.8) or [
            one for part in difflib.get_close_matches(last, by_last, n=1, cutoff=0.7) for one in by_last[part]
        ]
        return f"; did you mean {' or '.join(f'--{one}' for one in dict.fromkeys(close[:3]))}?" if close else ""


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not _NUMBER.match(word)


def _check_once(given: Sequence[Given]) -> None:
    """Refuse an option that is given twice, of which the last would win."""
    lists = {one.name for one in given if one.name is not None and one.name.endswith("+")}
    seen: dict[str, str | None] = {}
    for one in given:
        name = one.name
        if name is None or name in REPEATABLE or name in lists or any(name.startswith(f"{s[:-1]}.") for s in lists):
            continue
        if name in seen:
            raise UsageError(f"--{name} is given twice, as {seen[name]} and as {one.value}: leave out one")
        seen[name] = one.value


def with_word_as(name: str, given: Sequence[Given]) -> list[Given]:
    """The bare word as an option.

    Args:
        name: Of the option.
        given: What was typed.

    Raises:
        UsageError: When there are several words, or the option is given as well.
    """
    words = [one.value for one in given if one.name is None]
    if len(words) > 1:
        raise UsageError(
            f"{words[1]!r} is one too many: {words[0]!r} is given already; put several files into a folder"
        )
    named = [Given(name, one.value) if one.name is None else one for one in given]
    _check_once(named)
    return named
