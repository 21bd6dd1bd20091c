"""The registry of encoders: which class a card means by the name in its ``encoder`` field."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeVar

from moe_mat.encoders.base import Encoder

# Built-in encoders are imported on first use: each brings a heavy dependency of its own.
_BUILT_IN = {
    "cgcnn": "moe_mat.encoders.cgcnn",
    "chgnet": "moe_mat.encoders.chgnet",
    "sevennet": "moe_mat.encoders.sevennet",
    "matgl": "moe_mat.encoders.matgl",
    "descriptors": "moe_mat.encoders.descriptors.encoders",
    "local_environment": "moe_mat.encoders.descriptors.encoders",
}
ENCODERS: dict[str, type[Encoder]] = {}
EncoderClass = TypeVar("EncoderClass", bound=type[Encoder])


def register_encoder(name: str) -> Callable[[EncoderClass], EncoderClass]:
    """Make an encoder class known under the name that cards use in their ``encoder`` field.

    Raises:
        ValueError: When another class already has this name.
    """

    def register(cls: EncoderClass) -> EncoderClass:
        known = ENCODERS.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"encoder name {name!r} is taken by {known.__module__}.{known.__qualname__}")
        cls.name = name
        ENCODERS[name] = cls
        return cls

    return register


def get_encoder(name: str) -> type[Encoder]:
    """Look up an encoder class: built in, registered, or from an installed package's ``moe_mat.encoders`` entry point.

    Raises:
        KeyError: When nothing has this name.
    """
    if name not in ENCODERS and name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
    if name not in ENCODERS:
        for entry_point in entry_points(group="moe_mat.encoders", name=name):
            register_encoder(name)(entry_point.load())
    if name not in ENCODERS:
        known = ", ".join(sorted({*_BUILT_IN, *ENCODERS, *(e.name for e in entry_points(group="moe_mat.encoders"))}))
        raise KeyError(f"unknown encoder {name!r}; known: {known}. See docs/add-an-expert.md to add one")
    return ENCODERS[name]
