"""Potentials by the names that cards give them."""

from __future__ import annotations

from functools import cache
from typing import Any

from moe_mat.encoders.physics.potentials import Potential

SEVENNET = ("7net-0", "7net-l3i5", "7net-mf-0")
CHGNET = {"chgnet": "0.3.0", "chgnet-r2scan": "r2scan"}


@cache
def load_potential(name: str) -> Potential[Any]:
    """The potential of a name: one of SevenNet's checkpoints, ``chgnet`` or ``chgnet-r2scan``. Encoders share it.

    Raises:
        ValueError: When there is no potential of this name.
    """
    if name in SEVENNET:
        from moe_mat.encoders.physics.sevennet_potential import SevenNetPotential

        return SevenNetPotential(checkpoint=name)
    if name in CHGNET:
        from moe_mat.encoders.physics.chgnet_potential import CHGNetPotential

        return CHGNetPotential(model=CHGNET[name])
    raise ValueError(f"there is no potential {name!r}; known: {', '.join([*SEVENNET, *CHGNET])}")
