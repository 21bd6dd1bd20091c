"""What is made of crystals: something that workers can be sent, and what they make of it once and use for all parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

import pyarrow as pa

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import Device
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import stream_processes
from moe_mat.zoo.experts import ExpertLoader

Identity = Mapping[str, Any]
"""What numbers depend on beside the crystals, as JSON has it: ``command``, ``experts`` (tag to digest), and others."""


class Maker(AbstractContextManager["Maker"], ABC):
    """Makes rows of a table of crystals, with everything loaded that this takes, until it is left.

    Args:
        cards: Of the experts.
        workers: Processes that embed.
        device: Where encoders compute.

    Attributes:
        schema: Of the table.
        pass_over: The processes.
    """

    schema: pa.Schema

    def __init__(self, cards: Sequence[ExpertCard], *, workers: int, device: Device) -> None:
        self.cards, self.workers, self.loader = list(cards), workers, ExpertLoader(device)
        self._open = ExitStack()
        self.pass_over = self._open.enter_context(stream_processes(cards, self.loader, workers=workers))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._open.__exit__(kind, error, traceback)

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
    def start(self, workers: int) -> Maker:
        """Load what it takes, with so many processes that embed."""


def absolute_reference(card: ExpertCard) -> str:
    """What finds a card again from any working folder."""
    return card.tag if card.reference == card.tag else str(card.path.resolve())
