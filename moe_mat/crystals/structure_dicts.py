"""Crystals as plain dicts, as JSON files and programs hand them on.

Only lattice, species and positions are taken: nothing computes with site properties here, and decoding those that are
given as objects would import whatever module a file names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from moe_mat.crystals.checks import periodicity_problem
from moe_mat.crystals.optimade import OPTIMADE_COLUMNS, structure_from_attributes
from moe_mat.crystals.structure_arrays import structure_from_arrays

# Elements of an array in JSON: a crystal has three a site.
_MOST_NUMBERS = 2**24


def kind_of_dict(value: object) -> str | None:
    """What kind of crystal a dict is: ``pymatgen``, ``optimade``, ``ase`` or ``document``, which has a structure.

    None where it is none. Whether the crystal is whole is not looked at.
    """
    if not isinstance(value, Mapping):
        return None
    structure = value.get("structure")
    is_document = isinstance(structure, Structure) or _kind_of_structure(structure) is not None
    return _kind_of_structure(value) or ("document" if is_document else None)


def _kind_of_structure(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return None
    if {"lattice", "sites"} <= value.keys():
        return "pymatgen"
    attributes = value.get("attributes")
    is_entry = isinstance(attributes, Mapping) and (
        value.get("type") == "structures" or not attributes.keys().isdisjoint(OPTIMADE_COLUMNS)
    )
    if is_entry or not value.keys().isdisjoint(OPTIMADE_COLUMNS):
        return "optimade"
    return "ase" if {"numbers", "positions", "cell"} <= value.keys() else None


def structure_from_dict(crystal: Mapping[str, Any]) -> Structure:
    """Structure from a dict.

    Args:
        crystal: The dict of ``Structure.as_dict()`` or of ASE's ``Atoms.todict()``, an OPTIMADE entry or its
            attributes, or a document of the Materials Project, which has a structure.

    Raises:
        ValueError: When it is none of these, or not whole; says what is wrong.
    """
    kind = kind_of_dict(crystal) or "pymatgen"
    if kind == "document":
        structure = crystal["structure"]
        return structure if isinstance(structure, Structure) else structure_from_dict(structure)
    attributes = crystal.get("attributes")
    if kind == "optimade" and isinstance(attributes, Mapping):
        crystal = attributes
    read, name = _READERS[kind]
    try:
        return read(crystal)
    except Exception as error:  # dicts that are not as expected fail in any way there is
        if isinstance(error, ValueError) and kind != "pymatgen":  # said in full
            raise
        raise ValueError(f"not {name} ({type(error).__name__}: {error})") from error


def structure_from_atoms(atoms: Atoms) -> Structure:
    """Structure from ASE's Atoms.

    Raises:
        ValueError: When they have no periodic cell.
    """
    if atoms.cell.rank < 3:
        raise ValueError("these Atoms have no three-dimensional cell: set atoms.cell and atoms.pbc = True")
    if problem := periodicity_problem(atoms.pbc):
        raise ValueError(problem)
    return structure_from_arrays(atoms.cell.array, atoms.get_chemical_symbols(), atoms.positions)


def _from_pymatgen(crystal: Mapping[str, Any]) -> Structure:
    sites = [{"species": site["species"], "abc": site["abc"]} for site in crystal["sites"]]
    if not sites:
        return Structure(Lattice.from_dict(crystal["lattice"]), [], [])
    return Structure.from_dict({"lattice": crystal["lattice"], "sites": sites})


def _from_ase(crystal: Mapping[str, Any]) -> Structure:
    numbers = _array(crystal["numbers"])
    if not (numbers >= 0).all():
        raise ValueError(f"site {int((numbers < 0).argmax())} has the atomic number {numbers.min():g}")
    atoms = Atoms(
        numbers.astype(int),
        positions=_array(crystal["positions"]).reshape(len(numbers), 3),
        cell=_array(crystal["cell"]),
        pbc=_array(crystal.get("pbc", [False] * 3)).astype(bool),
    )
    return structure_from_atoms(atoms)


def _array(value: Any) -> NDArray[np.float64]:
    """An array as it is, or as ASE writes it in JSON: ``{"__ndarray__": [shape, type, numbers]}``."""
    if isinstance(value, Mapping):
        if "array" in value:  # of a cell
            return _array(value["array"])
        shape, _, numbers = value["__ndarray__"]
        if len(numbers) > _MOST_NUMBERS:
            raise ValueError(f"an array has {len(numbers)} numbers, more than a crystal")
        return np.asarray(numbers, dtype=float).reshape(shape)
    return np.asarray(value, dtype=float)


_READERS: dict[str, tuple[Callable[[Mapping[str, Any]], Structure], str]] = {
    "pymatgen": (_from_pymatgen, "the dict of a pymatgen Structure"),
    "optimade": (structure_from_attributes, "an OPTIMADE structure"),
    "ase": (_from_ase, "a crystal of ASE"),
}
