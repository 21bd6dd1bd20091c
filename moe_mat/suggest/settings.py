"""Settings of suggestions. Nothing heavy is imported, so that the help of a command can be shown at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Acquisition = Literal["improvement", "prediction", "thompson"]
"""What a crystal is chosen by: the expected improvement, the prediction alone, or values drawn at random."""

Batching = Literal["diverse", "best"]
"""Crystals that differ, or the best ones whether they do or not."""


@dataclass(frozen=True, kw_only=True)
class ChoiceSettings:
    """Which candidates are chosen.

    Attributes:
        n: How many crystals are suggested, such as are measured at a time.
        acquisition: ``improvement``, what a measurement is expected to bring; ``prediction``, the best predicted; or
            ``thompson``, the best of values drawn at random. For the goal uncertainty it is the standard deviation,
            and for goals of classes what they say.
        batch: ``diverse``, each as if those before it were measured already; or ``best``, the best one by one, however
            alike. Thompson sampling draws for each anew.
        without: Elements that are not wanted, as ``Pb,Cd``.
        max_atoms: Most atoms in a candidate's cell as given; ``null`` for any number.
    """

    n: int = 20
    acquisition: Acquisition = "improvement"
    batch: Batching = "diverse"
    without: str | None = None
    max_atoms: int | None = None
