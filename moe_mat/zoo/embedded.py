"""What embedding some crystals has given, and which of them it refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.errors import CrystalError, LeftOut

# Of the crystals that were refused beside the first.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of a list of crystals.

    Attributes:
        values: Expert tag to ``[n_crystals, dim]``, float32. The rows of refused crystals are NaN.
        refused: Row to the reason why some expert cannot represent this crystal.
    """

    values: dict[str, np.ndarray]
    refused: dict[int, str]

    def require_all(self, structures: Sequence[Structure]) -> None:
        """Make sure that no crystal was refused.

        Args:
            structures: The crystals.

        Raises:
            CrystalError: When one was; names its position, its formula and the reason.
        """
        for row in self.refused:
            name = f"crystal {row} ({structures[row].reduced_formula})"
            raise CrystalError(LeftOut(name, None, None, self.first_reason([str(other) for other in self.refused])))

    def first_reason(self, names: Sequence[str]) -> str:
        """Why the first refused crystal was, and which others were refused too.

        Args:
            names: Of all refused crystals, in their order.
        """
        reason, others = next(iter(self.refused.values())), names[1:]
        if not others:
            return reason
        more = ", ..." if len(others) > NAMED else ""
        return f"{reason}; {len(others)} more crystals cannot be embedded: {', '.join(others[:NAMED])}{more}"
