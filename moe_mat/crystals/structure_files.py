"""Files that hold one crystal: CIF, POSCAR and the like, in any of their spellings on disk."""

from __future__ import annotations

import json
import warnings
from io import StringIO
from itertools import islice
from pathlib import Path

import ase.io
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar

from moe_mat.crystals.frame_tables import scan_frames
from moe_mat.crystals.structures import as_structure
from moe_mat.files.compressed import read_text

_MOST_CHARACTERS = 2**24  # of a file with one crystal: 5,000 atoms take a million

_FORMATS = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".xsf": "xsf",
    ".res": "res",
    ".json": "json",
}
KNOWN_NAMES = ", ".join(f"*{suffix}" for suffix in _FORMATS) + ", POSCAR*, CONTCAR*"
"""The file names ``structure_format`` recognises, for messages; each may end in .gz too."""


def structure_format(path: Path) -> str | None:
    """Format of a structure file by its name, None for an unknown one."""
    name = path.name.removesuffix(".gz")
    by_suffix = _FORMATS.get(Path(name).suffix.lower())
    if by_suffix is None and name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return by_suffix


def structure_stem(path: Path) -> str:
    """File name without its known suffix: "mp-1" for mp-1.cif.gz, but "POSCAR.mp-1" for POSCAR.mp-1."""
    name = path.name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix.lower() in _FORMATS else name


def is_web_page(path: Path) -> bool:
    """Whether a file is HTML, which is what a refused download leaves behind under the name of the file asked for."""
    with open(path, "rb") as stream:
        start = stream.read(256).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def read_structure_file(path: Path) -> Structure:
    """The crystal in a file.

    Raises:
        ValueError: with the reason and a remedy, but without the path, which the caller knows.
    """
    kind = structure_format(path)
    if kind is None:
        raise ValueError(f"unknown type of structure file: known are {KNOWN_NAMES}")
    if not path.is_file():
        raise ValueError("there is no such file")
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    if is_web_page(path):
        raise ValueError("this is a web page (HTML), not a crystal: the download failed, fetch the file again")
    try:
        text = read_text(path, most=_MOST_CHARACTERS)
        if kind == "cif":
            return _read_cif(text)
        if kind == "poscar":
            return _read_poscar(text)
        if kind == "json":
            return as_structure(json.loads(text))
        return _read_with_ase(path, text, kind)
    except _WrongContentError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # parsers of damaged files fail in any way there is
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"unreadable as {kind.upper()}, damaged or incomplete ({detail})") from error


class _WrongContentError(ValueError):
    """The file could be parsed, and yet is not what it should be."""


def _read_cif(text: str) -> Structure:
    try:
        parser = CifParser.from_str(text)
    except ZeroDivisionError as error:  # of entries by columns
        raise _WrongContentError("a loop_ of the CIF is empty: it lists no atoms, or is cut off") from error
    issues: list[str] = parser.warnings  # type: ignore[attr-defined]
    try:
        structures = parser.parse_structures(primitive=False)
    except ValueError as error:
        raise ValueError(" ".join([str(error), *issues])) from error
    if len(structures) > 1:
        raise _WrongContentError(f"the file holds {len(structures)} structures: split it into one file for each")
    # pymatgen only warns when atoms and formula disagree, which is all that shows of a CIF cut off between two lines.
    mismatch = parser.check(structures[0])
    if mismatch is not None and mismatch.startswith(("Incorrect stoichiometry", "Missing elements")):
        raise _WrongContentError(
            f"the atoms do not add up to the formula of the file ({' '.join(mismatch.split())}): complete the file, or "
            "delete its _chemical_formula lines if the atoms are right"
        )
    return structures[0]


def _read_poscar(text: str) -> Structure:
    lines = text.splitlines()
    for counts in (line.split() for line in lines[5:7]):
        n_atoms = sum(map(int, counts)) if all(count.isdecimal() for count in counts) else 0
        if n_atoms > len(lines):
            raise ValueError(f"it counts {n_atoms} atoms and has {len(lines)} lines")
    with warnings.catch_warnings():
        # Without a line of symbols pymatgen counts the elements up from H and only warns.
        warnings.filterwarnings("error", message="Elements in POSCAR cannot be determined")
        try:
            return Poscar.from_str(text, read_velocities=False).structure
        except ValueError as error:
            if "at least 1 site" in str(error):
                raise _WrongContentError("the cell is empty: the file lists no atoms") from error
            raise
        except UserWarning as error:
            raise _WrongContentError("the POSCAR does not name its elements: add the line of symbols") from error


def _read_with_ase(path: Path, text: str, kind: str) -> Structure:
    if kind == "extxyz":
        scan_frames(path)
    frames = list(islice(ase.io.iread(StringIO(text), index=":", format=kind), 2))
    if len(frames) != 1:
        found = "several crystals: read the file by itself, not its folder" if frames else "no crystal"
        raise _WrongContentError(f"the file holds {found}")
    try:
        return as_structure(frames[0])
    except ValueError as error:
        raise _WrongContentError(str(error)) from error
