"""What a crystal costs by its number of atoms, and how much of that a GPU would take over."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.tools import names_of, say, timed
from moe_mat.crystals import as_structure, structure_key
from moe_mat.files import data_folder
from moe_mat.zoo import CrystalPasses, EmbeddingOrder, ExpertLoader, find_cards

SOURCE = "pretrain/materials_project.parquet"
ATOMS = (2, 4, 8, 16, 32, 64, 128)


def atoms(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a crystal against its number of atoms: those of the networks, which a GPU can have, and the others.

    The crystals are of the Materials Project, drawn among those of a size. Networks on trunks take no time.
    """
    cards = find_cards(names_of(options.experts))
    order = EmbeddingOrder.of(cards)
    spaces = list(order.passes)
    passes = CrystalPasses(order.passes, ExpertLoader("cpu"), gpu=True)
    table = pq.read_table((options.data or data_folder()) / SOURCE)
    sizes = pc.list_value_length(table["species_at_sites"]).to_numpy()
    points: list[dict[str, Any]] = []
    for size in (ATOMS[0], *ATOMS):  # first calls compile and allocate
        rows = np.random.default_rng(0).permutation(np.flatnonzero(sizes == size))[: options.n]
        crystals = {structure_key(one): one for one in map(as_structure, table.take(rows).to_pylist())}
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
