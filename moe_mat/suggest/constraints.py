"""Which candidates may be suggested at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Element, Structure


@dataclass(frozen=True)
class Constraints:
    """What a candidate must fulfil.

    Attributes:
        without: Elements that it must not have.
        max_atoms: Most atoms in its cell as given; `None` for any number.
    """

    without: frozenset[str] = frozenset()
    max_atoms: int | None = None

    @classmethod
    def parse(cls, without: str | Sequence[str] | None, max_atoms: int | None) -> Constraints:
        """From ``Pb,Cd`` or a list of symbols.

        Raises:
            ValueError: One is no element, or no cell has so few atoms; names it.
        """
        listed = without.split(",") if isinstance(without, str) else list(without or [])
        symbols = [one.strip() for one in listed if one.strip()]
        if strange := [one for one in symbols if not Element.is_valid_symbol(one)]:
            raise ValueError(f"without: {', '.join(strange)} is no element; write symbols, such as Pb,Cd")
        if max_atoms is not None and max_atoms < 1:
            raise ValueError(f"max_atoms is {max_atoms}: a cell has at least 1")
        return cls(frozenset(symbols), max_atoms)

    def problem(self, structure: Structure) -> str | None:
        """Why a crystal must not be suggested; `None` where it may."""
        if self.max_atoms is not None and len(structure) > self.max_atoms:
            return f"more than {self.max_atoms} atoms"
        if self.without and (found := self.without & {element.symbol for element in structure.elements}):
            return f"with {', '.join(sorted(found))}"
        return None
