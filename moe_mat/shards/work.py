"""What is made of crystals: something that workers can be sent, and what they make of it once and use for all parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.zoo.cards import ExpertCard

Identity = Mapping[str, Any]
"""What numbers depend on beside the crystals, as JSON has it: ``command``, ``experts`` (tag to digest), and others."""


class Maker(ABC):
    """Makes rows of a table of crystals, with everything loaded that this takes.

    Attributes:
        schema: Of the table.
    """

    schema: pa.Schema

    @abstractmethod
    def tables(self, crystals: Iterable[Crystal], *, refuse: Callable[[LeftOut], None]) -> Iterator[pa.Table]:
        """Make rows in bounded memory.

        Args:
            crystals: Checked ones, in the order of the rows.
            refuse: Called for each that cannot be used; it is left out, unless this raises.
        """


class Work(ABC):
    """What is made of crystals: plain data, with absolute paths. Equal ones make the same."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """What the numbers depend on beside the crystals."""

    @abstractmethod
    def start(self) -> Maker:
        """Load what it takes."""


def absolute_reference(card: ExpertCard) -> str:
    """What finds a card again from any working folder."""
    return card.tag if card.reference == card.tag else str(card.path.resolve())
