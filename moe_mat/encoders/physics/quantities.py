"""What the numbers of the experts of physics are: name, unit and formula of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number that is computed of a crystal.

    Attributes:
        name: What it is.
        unit: Of the number as it enters the embedding before standardisation; ``1`` for a pure number.
        formula: How it is computed, of symbols that the docstring of its encoder explains.
    """

    name: str
    unit: str
    formula: str
