"""What makes a crystal unusable, for everyone or for one encoder, in words that name the site."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import DummySpecies, Element, Lattice, Structure
from scipy.spatial import cKDTree

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.formulas import Formula
from moe_mat.crystals.neighbours import search
from moe_mat.crystals.sites import sites_of

MIN_DISTANCE = 0.1
"""Two sites closer than this (Å) are one site written twice, not a bond; a cell thinner than two of it is flat."""

SHORTEST_DISTANCE = 0.6
"""Of two atoms in any crystal (Å), with room to spare: in 193,000 computed ones it is 0.73, that of hydrogen."""

VOLUME_PER_ATOM = (1.0, 1e5)
"""Of any crystal (Å³), with room to spare: in 193,000 computed ones it is 4.5 to 740."""

_MAX_LENGTH = 1e6
"""Lattice vectors (Å) and fractional coordinates beyond this are debris: no digits are left for the positions."""


def structure_problem(structure: Structure) -> str | None:
    """What makes a structure unusable, in words that name the site; None for a good one.

    Found are: no sites, a lattice that is not finite, flat or not periodic in three directions, non-finite coordinates,
    disordered sites, dummy species, more or less space than any crystal has, and atoms closer than in any crystal. A
    formula has been checked when it was read.
    """
    if isinstance(structure, Formula):
        return None
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
    return _volume_problem(structure) or _distance_problem(structure)


def check_elements(structure: Structure, *, known: Collection[int], encoder: str) -> None:
    """Pass crystals whose elements an encoder knows.

    Raises:
        UnsupportedCrystalError: When an element is not among ``known``; names the element and its first site.
    """
    formula = isinstance(structure, Formula)
    for i, number in enumerate(structure.atomic_numbers if formula else sites_of(structure).atomic_numbers.tolist()):
        if number not in known:
            place = f"of {structure.reduced_formula}" if formula else f"(site {i})"
            raise UnsupportedCrystalError(
                f"element {Element.from_Z(number).symbol} {place} is not among the {len(known)} elements of {encoder}; "
                "leave this crystal out, or fit without this expert (on_unknown_element: drop_expert)"
            )


def _site_name(structure: Structure, index: int) -> str:
    return f"site {index} ({structure[index].species_string})"


def _heights(lattice: Lattice) -> NDArray[np.float64]:
    """Distances between opposite faces of the cell, [3] in Å."""
    return 1 / np.sqrt((lattice.inv_matrix**2).sum(axis=0))


def _compact(lattice: Lattice) -> Lattice:
    """A cell of the same lattice that is not thin because it is skewed."""
    if _heights(lattice).min() > 2 * MIN_DISTANCE:
        return lattice
    return lattice.get_lll_reduced_lattice()


def lattice_problem(lattice: Lattice) -> str | None:
    """What makes a lattice unusable: entries that are not finite, or no volume."""
    if not (np.abs(lattice.matrix) < _MAX_LENGTH).all():
        return f"the lattice vectors are not finite lengths in Å: {lattice.matrix.tolist()}"
    try:
        # Reducing what has no volume at all would take for ever.
        height = float(_heights(_compact(lattice)).min()) if lattice.volume > MIN_DISTANCE**3 else 0.0
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


def _volume_problem(structure: Structure) -> str | None:
    least, most = VOLUME_PER_ATOM
    volume = structure.volume / len(structure)
    has = f"the cell has {volume:.2g} Å³ an atom"
    if volume < least:
        return (
            f"{has}, less than any crystal: check that the lattice vectors are in Å, not in nm or in units of "
            "a lattice constant, and that no site is there twice"
        )
    if volume > most:
        return (
            f"{has}, more than any crystal: check that the lattice vectors are in Å, not in pm, and that no sites are "
            "missing"
        )
    return None


def _distance_problem(structure: Structure) -> str | None:
    """Two atoms that are too close; finding them takes no longer when there are many."""
    fractional, matrix = structure.frac_coords, structure.lattice.matrix
    positions = (fractional - np.floor(fractional)) @ matrix
    found = _closest_in_cell(positions) or _closest_of_all(positions, matrix)
    if found is None:
        return None
    first, second, distance = found
    names = f"{_site_name(structure, first)} and {_site_name(structure, second)}"
    if first == second:
        names = f"{_site_name(structure, first)} and its image in the next cell"
    if distance < MIN_DISTANCE:
        return f"{names} lie within {MIN_DISTANCE} Å of each other: remove one of them"
    return (
        f"{names} are {distance:.2f} Å apart, closer than atoms in any crystal (in H2 it is 0.74 Å): check that the "
        "lattice vectors are in Å and not in nm, and that the coordinates are not fractional where Cartesian ones are "
        "meant, or the other way round"
    )


def _closest_in_cell(positions: NDArray[np.float64]) -> tuple[int, int, float] | None:
    """Two sites within the cell that are too close, and their distance in Å, from positions ``[n_atoms, 3]``."""
    if len(positions) == 1:
        return None
    # The two nearest of each: with several in one place, either may be the site itself.
    distances, nearest = cKDTree(positions).query(positions, k=2)
    site = int(distances[:, 1].argmin())
    distance = float(distances[site, 1])
    other = int(nearest[site, 1] if nearest[site, 0] == site else nearest[site, 0])
    return None if distance >= SHORTEST_DISTANCE else (min(site, other), max(site, other), distance)


def _closest_of_all(positions: NDArray[np.float64], matrix: NDArray[np.float64]) -> tuple[int, int, float] | None:
    """Two sites that are too close across the faces of the cell; those within it are not."""
    found = search(positions, matrix, SHORTEST_DISTANCE)
    if not len(found.centers):
        return None
    pair = int(found.distances.argmin())
    first, second = sorted((int(found.centers[pair]), int(found.neighbors[pair])))
    return first, second, float(found.distances[pair])
