"""The typed parts of expert cards: weights, readout, network, and what a module was trained from.

A part holds what its card states. What the card leaves to a default is ``None``, so that a card is written as it was
read, and its digest does not depend on whether a default has a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

ModuleKind = Literal["full", "adapter"]


@dataclass(frozen=True, slots=True)
class CardPart:
    """A part of a card."""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The part as YAML gives it; the schema of cards has checked it."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})

    def to_dict(self) -> dict[str, object]:
        """The part as it stands in the card."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        stated = {name: value for name, value in values.items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in stated.items()}


@dataclass(frozen=True, slots=True)
class WeightsFile(CardPart):
    """Weights in a file beside the card.

    Attributes:
        file: Name of the safetensors file.
        sha256: Hex checksum of its content.
    """

    file: str
    sha256: str

    @property
    def id(self) -> str:
        """What names the weights."""
        return self.sha256


@dataclass(frozen=True, slots=True)
class PackageWeights(CardPart):
    """Weights that come with a Python package.

    Attributes:
        package: Name of its distribution.
        version: The one that has these weights.
    """

    package: str
    version: str

    @property
    def id(self) -> str:
        """What names the weights."""
        return f"{self.package} {self.version}"


Weights = WeightsFile | PackageWeights


@dataclass(frozen=True, slots=True)
class Readout(CardPart):
    """How the features of an encoder become an embedding, see `moe_mat.zoo.readout.read_out`.

    Attributes:
        layers: Names of the layers that are read, side by side.
        statistics: Over the atoms of a crystal, any of ``mean`` and ``std``, or, of layers that turn with the crystal,
            any of ``norm_of_mean`` and ``mean_of_norms``; ``None`` for the mean alone.
        activation: Of the embedding, ``softplus`` or ``none``; ``None`` for none.
    """

    layers: tuple[str, ...]
    statistics: tuple[str, ...] | None = None
    activation: Literal["none", "softplus"] | None = None

    @property
    def pooled_by(self) -> tuple[str, ...]:
        """The statistics over atoms, the default included."""
        return self.statistics or ("mean",)


@dataclass(frozen=True, slots=True)
class NetworkShape(CardPart):
    """Layers of a property network, see `moe_mat.zoo.property_network.PropertyNetwork`.

    Attributes:
        sizes: Widths of the layers; the last one is the expert's width.
        output: Activation of the last layer, ``silu`` or ``none``; ``None`` for ``silu``.
    """

    sizes: tuple[int, ...]
    output: Literal["silu", "none"] | None = None


@dataclass(frozen=True, slots=True)
class ModuleOrigin(CardPart):
    """How a module came from its backbone.

    Attributes:
        kind: ``full`` for a copy that was trained as a whole, ``adapter`` for trained adapters between frozen layers.
        backbone: Tag of the expert that it was trained from.
        backbone_weights: What names the backbone's weights.
    """

    kind: ModuleKind
    backbone: str
    backbone_weights: str
