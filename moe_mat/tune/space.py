"""What is compared: values of some settings, the given configuration first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product

from moe_mat.mixture.heads.base import get_head
from moe_mat.mixture.settings import MixtureSettings, ModelSettings

Labels = dict[str, str]
"""One configuration: setting to the label of its value."""
HEAD = "head"
# Set by the data, or of no meaning under another head.
NOT_SEARCHED = ("targets", "classes", "units", "head_settings")


def label(value: object) -> str:
    """A value in short, as tables and the search know it.

    Example:
        >>> label("light"), label(["magpie", "symmetry"]), label((64, 64)), label(None)
        ('light', '[magpie, symmetry]', '[64, 64]', 'null')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(label, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


class SearchSpace:
    """Values of settings; those that a head does not have are left alone where it is that head's turn.

    Args:
        base: The configuration that all others are compared with; its head is named.
        values: Setting to what is tried of it; the base's own value need not be among them.

    Raises:
        ValueError: When there is no such setting, or no head has it.

    Example:
        >>> space = SearchSpace(MixtureSettings(head="kernel"), {"n_gates": [1, 2], "head": ["mlp"], "dropout": [0.3]})
        >>> space.default
        {'head': 'kernel', 'n_gates': '2'}
        >>> len(list(space.all()))
        6
    """

    def __init__(self, base: MixtureSettings, values: Mapping[str, Sequence[object]]) -> None:
        known = [one.name for one in fields(MixtureSettings) if one.name not in NOT_SEARCHED]
        if unknown := [name for name in values if name not in known]:
            raise ValueError(f"search names {', '.join(unknown)}; there are {', '.join(known)}")
        self.base = base
        self.values: dict[str, dict[str, object]] = {}
        for name in [HEAD, *(name for name in values if name != HEAD)]:
            tried = [getattr(base, name), *values.get(name, ())]
            self.values[name] = {label(value): value for value in tried}
        self._names = {head: self._names_of(head) for head in self.values[HEAD]}
        if idle := [name for name in values if not any(name in names for names in self._names.values())]:
            raise ValueError(
                f"search names {', '.join(idle)}, which no head has that is compared: add one to search.head"
            )

    def _names_of(self, head: str) -> list[str]:
        """Settings that are searched of a head."""
        return [name for name in self.values if name in _settings_of(head)]

    def names(self, labels: Mapping[str, str]) -> list[str]:
        """Settings that belong to a configuration, by its head."""
        return self._names[labels[HEAD]]

    @property
    def default(self) -> Labels:
        """The base."""
        return self._standing(label(self.base.head))

    def _standing(self, head: str) -> Labels:
        """A head with all else as in the base."""
        return {HEAD: head} | {name: next(iter(self.values[name])) for name in self._names[head] if name != HEAD}

    def neighbours(self) -> Iterator[Labels]:
        """What differs from the base in one setting."""
        yield from (self._standing(head) for head in self.values[HEAD] if head != label(self.base.head))
        for name in self._names[label(self.base.head)]:
            if name != HEAD:
                yield from (self.default | {name: other} for other in [*self.values[name]][1:])

    def all(self) -> Iterator[Labels]:
        """All configurations."""
        for head, names in self._names.items():
            others = [name for name in names if name != HEAD]
            for labels in product(*(self.values[name] for name in others)):
                yield {HEAD: head} | dict(zip(others, labels, strict=True))

    def changes(self, labels: Mapping[str, str]) -> Labels:
        """In what a configuration differs from the base under the same head, and in its head."""
        standing = self._standing(labels[HEAD])
        head = {} if labels[HEAD] == label(self.base.head) else {HEAD: labels[HEAD]}
        return head | {name: one for name, one in labels.items() if name != HEAD and one != standing[name]}

    def settings(self, labels: Mapping[str, str]) -> MixtureSettings:
        """A configuration as settings of the mixture."""
        values = {name: self.values[name][one] for name, one in labels.items()}
        if labels[HEAD] != label(self.base.head):
            defaults, kept = MixtureSettings(), {*_settings_of(labels[HEAD]), "targets", "classes", "units"}
            values = {one: getattr(defaults, one) for one in _field_names() if one not in kept} | values
        return replace(self.base, **values)  # type: ignore[arg-type]


def _field_names() -> list[str]:
    return [one.name for one in fields(MixtureSettings)]


def _settings_of(head: str) -> set[str]:
    """Settings that mean something under a head."""
    own = {one.name for one in fields(get_head(head).Settings)}
    return {name for name in (*own, *(one.name for one in fields(ModelSettings))) if name in _field_names()} - {
        "head_settings"
    }
