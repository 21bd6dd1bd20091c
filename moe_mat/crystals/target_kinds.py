"""What a target can be."""

from typing import Literal

TargetKind = Literal["auto", "number", "class"]
