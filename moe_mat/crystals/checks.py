"""What makes a crystal unusable, for everyone or for one encoder, in words that name the site."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import DummySpecies, Lattice, Structure
from scipy.spatial import cKDTree

from moe_mat.crystals.errors import UnsupportedCrystalError

MIN_DISTANCE = 0.1
"""Two sites closer than this (Å) are one site written twice, not a bond."""

_MAX_LENGTH = 1e6
"""Lattice vectors (Å) and fractional coordinates beyond this are debris: no digits are left for the positions."""


def structure_problem(structure: Structure) -> str | None:
    """What makes a structure unusable, in words that name the site; None for a good one.

    Found are: no sites, a lattice that is not finite, flat or not periodic in three directions, non-finite coordinates,
    disordered sites, dummy species, and sites closer than ``MIN_DISTANCE``.
    """
    if not len(structure):
        return "the cell is empty: it has no sites"
    problem = lattice_problem(structure.lattice) or periodicity_problem(structure.lattice.pbc)
    problem = problem or _species_problem(structure)
    if problem is not None:
        return problem
    fractional = structure.frac_coords
    usable = np.abs(fractional) < _MAX_LENGTH  # NaN is not
    if not usable.all():
        site = int(np.argmin(usable.all(axis=1)))
        return f"the coordinates of {_site_name(structure, site)} are not finite numbers: {fractional[site].tolist()}"
    if (pair := _overlapping_sites(structure.lattice, fractional)) is not None:
        first, second = (_site_name(structure, site) for site in pair)
        return f"{first} and {second} lie within {MIN_DISTANCE} Å of each other: remove one of them"
    return None


def check_elements(structure: Structure, *, known: Collection[int], encoder: str) -> None:
    """Pass crystals whose elements an encoder knows.

    Raises:
        UnsupportedCrystalError: When an element is not among ``known``; names the element and its first site.
    """
    for i, number in enumerate(structure.atomic_numbers):
        if number not in known:
            raise UnsupportedCrystalError(
                f"element {structure[i].specie.symbol} (site {i}) is not among the {len(known)} elements of {encoder}; "
                "leave this crystal out or leave this expert out"
            )


def _site_name(structure: Structure, index: int) -> str:
    return f"site {index} ({structure[index].species_string})"


def _heights(lattice: Lattice) -> NDArray[np.float64]:
    """Distances between opposite faces of the cell, [3] in Å."""
    return 1 / np.sqrt((lattice.inv_matrix**2).sum(axis=0))


def _compact(lattice: Lattice) -> Lattice:
    """A cell of the same lattice in which any two points closer than ``MIN_DISTANCE`` differ by under half a vector."""
    if _heights(lattice).min() > 2 * MIN_DISTANCE:
        return lattice
    return lattice.get_lll_reduced_lattice()


def lattice_problem(lattice: Lattice) -> str | None:
    """What makes a lattice unusable: entries that are not finite, or no volume."""
    if not (np.abs(lattice.matrix) < _MAX_LENGTH).all():
        return f"the lattice vectors are not finite lengths in Å: {lattice.matrix.tolist()}"
    try:
        height = float(_heights(_compact(lattice)).min())
    except np.linalg.LinAlgError:
        height = 0.0
    if height <= 2 * MIN_DISTANCE:
        return f"the cell has no volume (it is {height:.3g} Å thick): check lattice vectors and their unit, Å"
    return None


def periodicity_problem(pbc: Iterable[bool]) -> str | None:
    """The axes along which a crystal is not periodic."""
    missing = [axis for axis, periodic in zip("abc", pbc, strict=True) if not periodic]
    if not missing:
        return None
    return (
        f"the cell is not periodic along {', '.join(missing)}: make it periodic (pbc = True), with vacuum in the cell "
        "for a layer or a molecule"
    )


def _species_problem(structure: Structure) -> str | None:
    passed: set[int] = set()  # sites of one element mostly share their Composition object, and Python calls add up
    for index, site in enumerate(structure):
        species = site.species
        if id(species) in passed:
            continue
        if not site.is_ordered:
            return (
                f"{_site_name(structure, index)} is disordered: choose an ordered cell first, "
                "e.g. with pymatgen's OrderDisorderedStructureTransformation"
            )
        if isinstance(site.specie, DummySpecies):
            return f"{_site_name(structure, index)} is a dummy species, not an element: replace or remove it"
        passed.add(id(species))
    return None


def _overlapping_sites(lattice: Lattice, fractional: NDArray[np.float64]) -> tuple[int, int] | None:
    if len(fractional) == 1:
        return None
    compact = _compact(lattice)
    if compact is not lattice:
        fractional = fractional @ lattice.matrix @ compact.inv_matrix
    wrapped = fractional - np.floor(fractional)
    wrapped[wrapped >= 1] = 0  # -1e-17 wraps to 1.0
    reach = float(MIN_DISTANCE / _heights(compact).min())
    pairs = cKDTree(wrapped, boxsize=1).query_pairs(reach, p=np.inf)
    for first, second in sorted(pairs):
        difference = wrapped[first] - wrapped[second]
        if np.linalg.norm((difference - np.rint(difference)) @ compact.matrix) < MIN_DISTANCE:
            return first, second
    return None
