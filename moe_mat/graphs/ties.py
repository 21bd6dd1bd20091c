"""What becomes of neighbours that are equally far, where a graph takes only some of them."""

from typing import Literal

Ties = Literal["canonical", "order"]
"""A rule that depends on the crystal alone, or the order of its atoms, as published networks were trained."""
