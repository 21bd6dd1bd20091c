"""What a crystal costs by its number of atoms, and how much of that a GPU would take over."""

from __future__ import annotations

import argparse
from typing import Any

from pymatgen.core import Structure

from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.tools import assignment, names_of, say, timed
from moe_mat.crystals import structure_key
from moe_mat.zoo import CrystalPasses, EmbeddingOrder, ExpertLoader, find_cards

ATOMS = (2, 4, 8, 16, 32, 64, 128, 256)


def atoms(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a crystal against its number of atoms: those of the networks, which a GPU can have, and the others.

    The crystals of a size are supercells of the same small ones. Networks on trunks take no time.
    """
    small = sorted(assignment(options).task.structures, key=len)[: options.n]
    cards = find_cards(names_of(options.experts))
    order = EmbeddingOrder.of(cards)
    spaces = list(order.passes)
    passes = CrystalPasses(order.passes, ExpertLoader("cpu"), gpu=True)
    passes({structure_key(one): one for one in small}, spaces)  # first calls compile and allocate
    points = []
    for size in ATOMS:
        crystals = {structure_key(cell): cell for cell in (supercell(one, size) for one in small)}
        reset_peak_memory()
        preparing, begun = timed(passes.begin, crystals, spaces)
        networks, _ = timed(passes.finish, *begun, spaces)
        n = len(crystals)
        points.append(
            {
                "atoms": sum(map(len, crystals.values())) / n,
                "crystals": n,
                "seconds_of_networks": networks / n,
                "seconds_of_the_rest": preparing / n,
                "peak_memory_mib": round(peak_memory()),
            }
        )
        say(f"{points[-1]['atoms']:6.0f} atoms: {networks / n:8.4f} s in networks, {preparing / n:8.4f} s elsewhere")
    return {"crystals": options.n, "experts": [card.tag for card in cards], "points": points}


def supercell(crystal: Structure, n_atoms: int) -> Structure:
    """Repeat a crystal along its shortest axis until it has so many atoms."""
    cell = crystal.copy()
    while len(cell) < n_atoms:
        shortest = min(range(3), key=lambda axis: cell.lattice.abc[axis])
        cell.make_supercell([2 if axis == shortest else 1 for axis in range(3)])
    return cell
