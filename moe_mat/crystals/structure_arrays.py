"""Structures from plain arrays."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition, Lattice, PeriodicSite, Structure

from moe_mat.crystals.checks import lattice_problem

# An element, with an oxidation state or a spin; pymatgen would evaluate what else follows.
_SYMBOL = re.compile(r"[A-Za-z]+(\d*\.?\d*[+-])?(,spin=-?\d+(\.\d+)?)?")


@lru_cache(maxsize=1024)
def _composition(species: str) -> Composition:
    if not _SYMBOL.fullmatch(species):
        raise ValueError(f"{reprlib.repr(species)} is no element")
    return Composition({species: 1})


def structure_from_arrays(
    lattice_vectors: ArrayLike, species: Sequence[str], cartesian_positions: ArrayLike
) -> Structure:
    """Structure from plain arrays, some ten times faster than pymatgen's constructor.

    Args:
        lattice_vectors: [3, 3], one vector a row, in Å.
        species: [n_sites] symbols.
        cartesian_positions: [n_sites, 3] in Å.

    Raises:
        ValueError: wrong shapes, an unknown species, or a lattice without volume.
    """
    matrix, positions = _numbers("lattice vectors", lattice_vectors), _numbers("positions", cartesian_positions)
    if matrix.shape != (3, 3):
        raise ValueError(f"the lattice has the shape {matrix.shape}, not (3, 3)")
    if positions.shape != (len(species), 3) and (positions.size or len(species)):
        raise ValueError(f"{len(species)} species but positions of the shape {positions.shape}")
    lattice = Lattice(matrix)
    if problem := lattice_problem(lattice):
        raise ValueError(problem)
    fractional = positions.reshape(-1, 3) @ lattice.inv_matrix
    structure = Structure(lattice, [], [])
    structure.sites = [
        PeriodicSite(_composition(symbol), row, lattice, skip_checks=True)
        for symbol, row in zip(species, fractional, strict=True)
    ]
    return structure


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the {name} are not numbers: {error}") from error
