"""Crystals that are the same by structure, found among many in seconds.

Two crystals are the same when their reduced formulas are equal, their volumes per atom differ by less than 10 %, the
distances between their atoms by less than 2.5 % of the mean spacing, and pymatgen's `StructureMatcher` fits one onto
the other with its default tolerances. Choice of cell, order of sites and small relaxations make no difference; another
decoration of the same sites does, and so does another stacking of the same layers. Formulas without structures are the
same when they are equal.

The distances come first: they cost a hundredth of a match, and leave few pairs to it. Cells of as many atoms whose
distances are equal need none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial.distance import cdist

from moe_mat.crystals.held_out import VOLUME_TOLERANCE
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.training_crystals import formula_hash

# Mean difference of two crystals' distances, in units of the mean spacing, below which they may be the same, and below
# which they are when their cells have as many atoms.
DISTANCE_TOLERANCE = 0.025
EQUAL = 1e-5
# Distances up to here count; unit and step: the mean spacing, the cube root of the volume per atom.
FARTHEST = 2.5
STEP = 0.05
# Crystals that are compared with all others of their formula at once, which bounds memory.
CHUNK = 1000


def same_crystals(structures: Sequence[Structure]) -> np.ndarray:
    """Number crystals so that those which are the same have one number ``[n]``.

    Example:
        >>> from pymatgen.core import Lattice
        >>> salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        >>> same_crystals([salt, salt.copy().apply_strain(0.1), salt * (2, 1, 1)]).tolist()
        [0, 1, 0]
    """
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(structure_key(one), len(places)) for one in structures], dtype=np.int64)
    _, first = np.unique(place, return_index=True)
    distinct = [structures[row] for row in first]
    matcher, found = StructureMatcher(), DisjointSet(range(len(distinct)))
    for group in _of_one_formula(distinct):
        reduced: dict[int, Structure] = {}
        for row, other, difference in _near(distinct, group):
            if found.connected(row, other):
                continue
            if difference >= EQUAL or len(distinct[row]) != len(distinct[other]):
                a, b = (reduced.get(one) or reduced.setdefault(one, _reduced(distinct[one])) for one in (row, other))
                if len(a) != len(b) or not matcher.fit(a, b, skip_structure_reduction=True):
                    continue
            found.merge(row, other)
    _, numbers = np.unique([found[row] for row in range(len(distinct))], return_inverse=True)
    return numbers[place]


def _reduced(structure: Structure) -> Structure:
    """The cell that `StructureMatcher` compares, without oxidation states."""
    bare = structure.copy().remove_oxidation_states()
    return bare.get_reduced_structure("niggli").get_primitive_structure()


def _of_one_formula(structures: Sequence[Structure]) -> Iterator[np.ndarray]:
    """The rows of each formula that occurs more than once."""
    formulas = np.array([formula_hash(one) for one in structures], dtype=np.uint64)
    order = np.argsort(formulas, kind="stable")
    ends = np.flatnonzero(np.diff(formulas[order])) + 1
    yield from (group for group in np.split(order, ends) if len(group) > 1)


def _near(structures: Sequence[Structure], group: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """The pairs, among some crystals of one formula, whose distances and volumes differ little."""
    volumes = np.array([structures[row].volume / len(structures[row]) for row in group])
    described = np.stack([neighbour_counts(structures[row]) for row in group])
    for start in range(0, len(group), CHUNK):
        some = slice(start, start + CHUNK)
        difference = cdist(described[some], described, "cityblock") * STEP
        ratio = volumes[some, None] / volumes[None]
        near = (difference < DISTANCE_TOLERANCE) & (np.maximum(ratio, 1 / ratio) < 1 + VOLUME_TOLERANCE)
        for row, other in np.argwhere(near):
            if start + row < other:
                yield int(group[start + row]), int(group[other]), float(difference[row, other])


def neighbour_counts(structure: Structure) -> np.ndarray:
    """How many neighbours of each element an atom has up to each distance, the mean over the atoms of each element.

    The difference of two such curves, summed over elements and distances, is the mean shift of the distances: it needs
    no matching of sites, and does not depend on the cell.

    Returns:
        Shares of the expected number of neighbours ``[n_elements**2 * n_distances]``.
    """
    spacing = (structure.volume / len(structure)) ** (1 / 3)
    centres, neighbours, _, distances = structure.get_neighbor_list(FARTHEST * spacing)
    elements, of_site = np.unique(structure.atomic_numbers, return_inverse=True)
    position = distances / spacing / STEP
    n_bins = round(FARTHEST / STEP) + 1
    lower = np.minimum(position.astype(np.int64), n_bins - 2)
    # Shared between the two nearest bins, so that no distance jumps from one to the other.
    share = position - lower
    pair = (of_site[centres] * len(elements) + of_site[neighbours]) * n_bins + lower
    size = len(elements) ** 2 * n_bins
    counts = np.bincount(pair, 1 - share, size) + np.bincount(pair + 1, share, size)
    expected = 4 / 3 * np.pi * FARTHEST**3
    return (counts.reshape(-1, n_bins).cumsum(axis=1) / (len(structure) * expected)).ravel()
