"""Crystals as objects: conversion, checks and identity.

Everything a file or a caller hands over passes through here once. What comes out is an ordered, three-dimensionally
periodic ``pymatgen.core.Structure`` with finite coordinates, or a `Formula` where only the composition is known; what
cannot become one is named with its reason.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from ase import Atoms
from pymatgen.core import Composition, Structure
from pymatgen.core.structure import IStructure, SiteCollection

from moe_mat.crystals.checks import structure_problem
from moe_mat.crystals.errors import CrystalError, LeftOut, OnError
from moe_mat.crystals.formulas import Formula, as_formula
from moe_mat.crystals.sites import sites_of
from moe_mat.crystals.structure_dicts import structure_from_atoms, structure_from_dict

logger = logging.getLogger(__name__)

# Lengths of a key are counted in this step (Å). An irrational step of about 1e-8 Å: written coordinates such as
# 5.430941 / 8 lie exactly between two multiples of 1e-8, where the last bit of a sum would decide the rounding.
_KEY_STEP = 1e-8 * math.pi / 3


@dataclass(frozen=True, slots=True)
class Crystal:
    """One checked crystal.

    Attributes:
        material_id: its name, unique among the crystals read together.
        structure: ordered and periodic, positions in Å; or a `Formula`.
        values: the other columns of its row; requested targets are floats, NaN where missing.
        source: where it was read, for messages.
    """

    material_id: str
    structure: Structure
    values: dict[str, Any]
    source: str


class CrystalFilter:
    """Takes crystals one by one, keeps the usable ones, and raises or lists the others.

    Args:
        source: The whole the crystals come from, for the closing message.
        on_error: "raise" stops at the first bad crystal, "skip" lists it and goes on.
        left_out: Receives one entry for each crystal left out.
        taken: Ids that other crystals have, which do not pass here.
    """

    def __init__(
        self,
        source: str,
        *,
        on_error: OnError = "raise",
        left_out: list[LeftOut] | None = None,
        taken: Container[str] = (),
    ) -> None:
        if on_error not in get_args(OnError):
            raise ValueError(f'on_error is {on_error!r}: use "raise" or "skip"')
        self.source = source
        self._raise = on_error == "raise"
        self._left_out = [] if left_out is None else left_out
        self._before = len(self._left_out)
        self._ids: set[str] = set()
        self._taken = taken
        self._formulas: bool | None = None  # whether those so far are formulas

    def refuse(self, source: str, material_id: str | None, column: str | None, reason: str) -> None:
        """Leave a crystal out, or raise ``CrystalError``."""
        problem = LeftOut(source, material_id, column, reason)
        if self._raise:
            raise CrystalError(problem)
        logger.info("left out: %s", problem)
        self._left_out.append(problem)

    def accept(
        self, source: str, material_id: str, values: Mapping[str, Any], load: Callable[[], Structure]
    ) -> Crystal | None:
        """The crystal whose structure ``load`` returns, or None where it had to be left out."""
        if material_id in self._ids or material_id in self._taken:
            reason = "this id occurs a second time: remove one of the two, or choose another id_column"
            self.refuse(source, material_id, None, reason)
            return None
        try:
            structure = load()
            problem = structure_problem(structure)
        except (TypeError, ValueError) as error:
            problem = str(error)
        if problem is not None:
            self.refuse(source, material_id, None, problem)
            return None
        self._refuse_mixed(source, material_id, structure)
        self._ids.add(material_id)
        return Crystal(material_id, structure, dict(values), source)

    def _refuse_mixed(self, source: str, material_id: str, structure: Structure) -> None:
        formula = isinstance(structure, Formula)
        if self._formulas not in (None, formula):
            kinds = ("a formula", "have structures") if formula else ("a structure", "are formulas")
            reason = (
                f"it is {kinds[0]} and those before it {kinds[1]}: crystals with and without sites are not mixed; keep "
                "them in two files, or give the formulas of all"
            )
            raise CrystalError(LeftOut(source, material_id, None, reason))
        self._formulas = formula

    def close(self) -> None:
        """Say how many were left out, so that a list nobody asked for is not a silence."""
        refused = self._left_out[self._before :]
        if refused:
            total = len(refused) + len(self._ids)
            logger.warning(
                "%s: %d of %d crystals left out; the first: %s", self.source, len(refused), total, refused[0]
            )


def as_structure(crystal: Structure | Atoms | Composition | Mapping[str, Any] | str) -> Structure:
    """Structure from a pymatgen, ASE or dict object, or a `Formula` from a composition.

    Only lattice, species (with oxidation states) and positions are taken from Atoms and dicts: nothing computes with
    site properties here, and decoding those of a dict would import whatever module a file names.

    Args:
        crystal: Structure (returned as it is), ASE Atoms, or a dict, see `structure_dicts.structure_from_dict`; a
            pymatgen Composition or a formula such as ``"Fe2O3"``.

    Raises:
        TypeError: for any other type.
        ValueError: for Atoms without a periodic cell, dicts that hold no structure, and text that is no formula.
    """
    if isinstance(crystal, str | Composition):
        return as_formula(crystal)
    if isinstance(crystal, Structure):
        return crystal
    if isinstance(crystal, IStructure):
        return Structure.from_sites(list(crystal))
    if isinstance(crystal, Atoms):
        return structure_from_atoms(crystal)
    if isinstance(crystal, Mapping):
        return structure_from_dict(crystal)
    kind = f"{type(crystal).__module__}.{type(crystal).__qualname__}"
    hint = ": it has no periodic cell" if isinstance(crystal, SiteCollection) else ""
    raise TypeError(
        f"{kind} is not a crystal{hint}; use a pymatgen Structure, ASE Atoms or the dict of a Structure; or a formula"
    )


def structure_key(structure: Structure) -> bytes:
    """Content of an ordered structure as 16 bytes, the same in every process.

    Lattice and Cartesian positions count to about 1e-8 Å, species as atomic numbers, sites in their order. Ids, site
    properties and oxidation states do not count. Of a formula, the composition counts.
    """
    if isinstance(structure, Formula):
        return hashlib.blake2b(f"formula {structure.reduced_formula}".encode(), digest_size=16).digest()
    sites = sites_of(structure)
    lengths = np.concatenate([sites.lattice, sites.fractional.reshape(-1, 3) @ sites.lattice])
    digest = hashlib.blake2b(np.rint(lengths / _KEY_STEP).astype("<i8").tobytes(), digest_size=16)
    digest.update(sites.atomic_numbers.astype("<i8").tobytes())
    return digest.digest()


def crystals_from_objects(
    objects: Iterable[Structure | Atoms | Composition | Mapping[str, Any] | str],
    *,
    ids: Sequence[str] | None = None,
    on_error: OnError = "raise",
    left_out: list[LeftOut] | None = None,
) -> list[Crystal]:
    """Checked crystals from objects.

    Args:
        objects: whatever ``as_structure`` takes.
        ids: one for each object; their numbers, from 0, where None.
        on_error: "raise" stops at the first bad crystal, "skip" leaves it out.
        left_out: receives what "skip" leaves out.

    Raises:
        CrystalError: naming the object and the reason.
    """
    if isinstance(objects, (Structure, Atoms, Mapping, str)):  # all iterable, over something else
        raise TypeError(f"a list of crystals is needed, not one {type(objects).__name__}: write [crystal]")
    crystals = list(objects)
    names = [str(i) for i in range(len(crystals))] if ids is None else [str(name) for name in ids]
    if len(names) != len(crystals):
        raise ValueError(f"{len(crystals)} crystals but {len(names)} ids")
    crystal_filter = CrystalFilter("the given crystals", on_error=on_error, left_out=left_out)
    accepted = [
        crystal_filter.accept(f"crystal number {i}", name, {}, lambda crystal=crystal: as_structure(crystal))  # type: ignore[misc]
        for i, (name, crystal) in enumerate(zip(names, crystals, strict=True))
    ]
    crystal_filter.close()
    return [crystal for crystal in accepted if crystal is not None]
