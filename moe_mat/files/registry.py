"""Classes by name: those of the package, imported on first use, and those that others add."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

Class = TypeVar("Class", bound=type)
Base = TypeVar("Base")


class Registry(Generic[Base]):
    """What cards, settings and method cards name.

    A class is found when the package has it, when somebody has registered it, or when an installed package declares it
    as an entry point. A class that is registered gets the attribute ``name``.

    Args:
        what: What is registered, for messages.
        built_in: Name to the module that registers it.
        group: Of the entry points.
        guide: The page that says how to add one.
    """

    def __init__(self, what: str, *, built_in: Mapping[str, str], group: str, guide: str) -> None:
        self.what, self.built_in, self.group, self.guide = what, dict(built_in), group, guide
        self.classes: dict[str, type[Base]] = {}

    def register(self, name: str) -> Callable[[Class], Class]:
        """Make a class known under a name.

        Raises:
            ValueError: When another class already has this name.
        """

        def register(cls: Class) -> Class:
            known: Any = self.classes.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f"{self.what} name {name!r} is taken by {known.__module__}.{known.__qualname__}")
            cls.name = name  # type: ignore[attr-defined]
            self.classes[name] = cls
            return cls

        return register

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self.built_in, *self.classes, *(one.name for one in entry_points(group=self.group))})

    def get(self, name: str) -> type[Base]:
        """The class of a name.

        Raises:
            ValueError: When nothing has this name.
        """
        if name not in self.classes and name in self.built_in:
            importlib.import_module(self.built_in[name])
        if name not in self.classes:
            for entry_point in entry_points(group=self.group, name=name):
                self.register(name)(entry_point.load())
        if name not in self.classes:
            known = ", ".join(self.names())
            raise ValueError(f"unknown {self.what} {name!r}; known: {known}. See {self.guide} to add one")
        return self.classes[name]
