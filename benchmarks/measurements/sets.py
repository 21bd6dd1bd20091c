"""What a crystal costs with each set of experts that is compared with the default."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.measurements.source_crystals import SOURCE, SourceCrystals
from benchmarks.measurements.tools import say, timed
from benchmarks.methods.cards import CARDS, load_method
from moe_mat.zoo import CrystalPasses, EmbeddingOrder, ExpertLoader, find_cards

N_ATOMS = 8
METHODS = ("moe", "moe-light")


def sets(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a crystal of each card in benchmarks/methods/families, of the default, and of the tier light.

    The same crystals for all, of the Materials Project and eight atoms. Networks on trunks take no time.
    """
    source = SourceCrystals(options.data)
    cards = [*(CARDS / f"{name}.yaml" for name in METHODS), *sorted((CARDS / "families").glob("*.yaml"))]
    seconds: dict[str, float] = {}
    for path in (cards[0], *cards):  # the first one is measured when the process has warmed up
        experts = find_cards(list(load_method(str(path)).experts))
        order = EmbeddingOrder.of(experts)
        passes = CrystalPasses(order.passes, ExpertLoader("cpu"), gpu=False)
        passes(source.of_size(N_ATOMS, 2), list(order.passes))  # first calls load and compile
        crystals = source.of_size(N_ATOMS, options.n)
        taken, _ = timed(passes, crystals, list(order.passes))
        seconds[path.stem] = taken / len(crystals)
        say(f"{path.stem:<24} {len(experts):4} experts {1000 * seconds[path.stem]:9.1f} ms a crystal")
    return {"crystals": options.n, "atoms": N_ATOMS, "source": SOURCE, "seconds": seconds}
