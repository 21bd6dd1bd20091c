"""What a crystal costs by its number of atoms, and how much of that a GPU would take over."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.source_crystals import SOURCE, SourceCrystals
from benchmarks.measurements.tools import names_of, say, timed
from moe_mat.zoo import CrystalPasses, EmbeddingOrder, ExpertLoader, find_cards

ATOMS = (2, 4, 8, 16, 32, 64, 128)


def atoms(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a crystal against its number of atoms: those of the networks, which a GPU can have, and the others.

    The crystals are of the Materials Project, drawn among those of a size. Networks on trunks take no time.
    """
    cards = find_cards(names_of(options.experts))
    order = EmbeddingOrder.of(cards)
    spaces = list(order.passes)
    passes = CrystalPasses(order.passes, ExpertLoader("cpu"), gpu=True)
    source = SourceCrystals(options.data)
    points: list[dict[str, Any]] = []
    for size in (ATOMS[0], *ATOMS):  # first calls compile and allocate
        crystals = source.of_size(size, options.n)
        reset_peak_memory()
        preparing, begun = timed(passes.begin, crystals, spaces)
        networks, _ = timed(passes.finish, *begun, spaces)
        n = len(crystals)
        points.append(
            {
                "atoms": size,
                "crystals": n,
                "seconds_of_networks": networks / n,
                "seconds_of_the_rest": preparing / n,
                "peak_memory_mib": round(peak_memory()),
            }
        )
        say(f"{size:6} atoms: {networks / n:8.4f} s in networks, {preparing / n:8.4f} s elsewhere")
    return {"crystals": options.n, "source": SOURCE, "experts": [card.tag for card in cards], "points": points[1:]}
