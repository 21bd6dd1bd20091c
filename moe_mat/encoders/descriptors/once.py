"""What several descriptors need of a crystal is computed once, although encoders see a batch one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TypeVar

from pymatgen.core import Structure

from moe_mat.crystals.structures import structure_key

MOST_ATOMS = 2048  # in all remembered crystals together: a batch has half as many, unless it is one larger crystal

Result = TypeVar("Result")


def once_a_crystal(compute: Callable[[Structure], Result]) -> Callable[[Structure], Result]:
    """Remember the results for the latest crystals, by their content.

    Results are shared: nobody may change them, and they must not hold the structure, which its owner may change.
    """
    remembered: OrderedDict[bytes, tuple[Result, int]] = OrderedDict()  # the latest last, with their numbers of atoms
    lock = Lock()

    @wraps(compute)
    def once(structure: Structure) -> Result:
        key = structure_key(structure)
        with lock:
            if key in remembered:
                remembered.move_to_end(key)
                return remembered[key][0]
        result = compute(structure)
        with lock:
            remembered[key] = (result, len(structure))
            n_atoms = sum(n for _, n in remembered.values())
            while n_atoms > MOST_ATOMS and len(remembered) > 1:
                _, (_, n_forgotten) = remembered.popitem(last=False)
                n_atoms -= n_forgotten
        return result

    return once
