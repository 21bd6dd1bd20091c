"""Crystals that cannot be used, what becomes of them and how they are named, and data that cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnError = Literal["raise", "skip"]
"""What a bad crystal does: stop everything, or be left out and listed."""


OnUnknownElement = Literal["refuse", "drop_expert"]
"""What an element that some expert does not know does: its crystals cannot be used, or the expert is not."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A crystal that cannot be used, and why."""

    source: str
    material_id: str | None
    column: str | None
    reason: str

    def __str__(self) -> str:
        culprit = [self.source]
        if self.material_id is not None:
            culprit.append(f"crystal {self.material_id!r}")
        if self.column is not None:
            culprit.append(f"column {self.column!r}")
        return f"{', '.join(culprit)}: {self.reason}"


class CrystalError(ValueError):
    """A crystal that cannot be used, where `on_error="raise"`.

    Attributes:
        left_out: the same as data.
    """

    def __init__(self, left_out: LeftOut) -> None:
        super().__init__(str(left_out))
        self.left_out = left_out

    def __reduce__(self) -> tuple[type[CrystalError], tuple[LeftOut]]:
        return type(self), (self.left_out,)  # an exception pickles its message by default, and worker processes pickle


class UnsupportedCrystalError(ValueError):
    """A valid crystal that this encoder cannot represent, for example because of an element it was not trained on."""


class FetchError(RuntimeError):
    """A data set could not be downloaded; the message names it, each address with its failure, and the remedy."""
