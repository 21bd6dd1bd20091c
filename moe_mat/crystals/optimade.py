"""Structures as OPTIMADE describes them: in columns of Parquet, or as the attributes of an entry in JSON.

The names are those of the specification (Evans et al., Digital Discovery 3, 1509, 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymatgen.core import Structure

from moe_mat.crystals.checks import periodicity_problem
from moe_mat.crystals.structure_arrays import structure_from_arrays

OPTIMADE_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
"""What a structure is made of."""

STRUCTURE_ATTRIBUTES = (*OPTIMADE_COLUMNS, "species", "dimension_types", "structure_features")
"""All attributes of an entry that say what its structure is."""

# Of structures whose sites are not all that there is, and what is missing or left open then.
_INCOMPLETE = {
    "assemblies": "sites that exclude each other",
    "implicit_atoms": "atoms without positions",
    "site_attachments": "atoms attached to sites",
}
_NO_ATOM = ("vacancy", "X")


def structure_from_columns(lattice: Any, positions: Any, species_at_sites: Any) -> Structure:
    """Structure from the three columns, where sites are called by their elements.

    Raises:
        ValueError: With the column and the site that is wrong.
    """
    check_lists(zip(OPTIMADE_COLUMNS, (lattice, positions, species_at_sites), strict=True))
    check_symbols(species_at_sites)
    return structure_from_arrays(lattice, species_at_sites, positions)


def check_lists(columns: Iterable[tuple[str, Any]]) -> None:
    """Refuse what is missing or no list, of columns by name."""
    for name, value in columns:
        if value is None:
            raise ValueError(f"{name} is missing")
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise ValueError(f"{name} is {str(value)[:40]!r} and no list")


def check_symbols(species_at_sites: Sequence[Any]) -> None:
    """Refuse sites that are not called by text."""
    if not all(isinstance(symbol, str) for symbol in species_at_sites):
        site = next(site for site, symbol in enumerate(species_at_sites) if not isinstance(symbol, str))
        name = species_at_sites[site]
        gap = "a gap" if name is None else f"{str(name)[:40]!r}, which is no symbol,"
        raise ValueError(f"species_at_sites has {gap} at site {site}")


def structure_from_attributes(attributes: Mapping[str, Any]) -> Structure:
    """Structure from the attributes of an entry.

    Raises:
        ValueError: When some are missing, the structure is not periodic, or its sites are not all of one element each;
            names the attribute or the site.
    """
    if missing := [name for name in OPTIMADE_COLUMNS if attributes.get(name) is None]:
        raise ValueError(
            f"the OPTIMADE entry has no {', '.join(missing)}: ask for them by "
            f"response_fields={','.join([*OPTIMADE_COLUMNS, 'species'])}"
        )
    for feature, words in _INCOMPLETE.items():
        if feature in (attributes.get("structure_features") or ()):
            raise ValueError(f"the OPTIMADE entry has {words} (structure_features: {feature}): choose a whole cell")
    dimensions = attributes.get("dimension_types") or (1, 1, 1)
    if problem := periodicity_problem([bool(one) for one in dimensions]):
        raise ValueError(problem)
    at_sites = attributes["species_at_sites"]
    if attributes.get("species") is not None and isinstance(at_sites, list):
        at_sites = _elements(at_sites, {one["name"]: one for one in attributes["species"]})
    return structure_from_columns(attributes["lattice_vectors"], attributes["cartesian_site_positions"], at_sites)


def _elements(at_sites: list[Any], species: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The element of each site."""
    symbols: dict[str, str] = {}
    for site, name in enumerate(at_sites):
        if name in symbols:
            continue
        if name not in species:
            raise ValueError(f"site {site} is of the species {str(name)[:40]!r}, which species does not describe")
        symbols[name] = _element(f"site {site} ({name})", species[name])
    return [symbols[name] for name in at_sites]


def _element(site: str, species: Mapping[str, Any]) -> str:
    found = list(species["chemical_symbols"])
    shares = species.get("concentration") or [1.0] * len(found)
    if found == ["vacancy"]:
        raise ValueError(f"{site} is a vacancy: remove the site, or choose a cell without")
    if len(found) != 1 or abs(shares[0] - 1) > 1e-6:
        parts = ", ".join(f"{share:g} {symbol}" for symbol, share in zip(found, shares, strict=True))
        raise ValueError(
            f"{site} is disordered ({parts}): choose an ordered cell first, "
            "e.g. with pymatgen's OrderDisorderedStructureTransformation"
        )
    if found[0] in _NO_ATOM:
        raise ValueError(f"{site} is {found[0]}, not an element: replace or remove it")
    if species.get("attached"):
        raise ValueError(f"{site} has atoms attached to it, {species['attached']}, which have no positions")
    return str(found[0])
