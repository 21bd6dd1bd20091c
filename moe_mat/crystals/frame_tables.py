"""Crystals in extended XYZ: a frame each, and the keys of the comment lines are the columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import ase.io
from ase.io.extxyz import key_val_str_to_dict

from moe_mat.crystals.structures import as_structure
from moe_mat.crystals.tables import Row, Table, UnreadableError, Wanted
from moe_mat.files.compressed import open_text

_LONGEST_LINE = 2**20  # characters
_MOST_COLUMNS = 1000  # numbers of an atom


def frames_table(path: Path) -> Table:
    """Frames of an extended XYZ file.

    Raises:
        UnreadableError: When it is none, or is damaged.
    """
    try:
        keys = scan_frames(path)
    except (ValueError, OSError) as error:
        raise UnreadableError(f"{path} is damaged, or is not (extended) XYZ: {error}") from error
    columns = {key: None for key in keys if key not in ("Lattice", "Properties", "pbc")}
    return Table(str(path), list(columns), lambda wanted: _rows(path, columns, wanted))


def scan_frames(path: Path) -> dict[str, None]:
    """The keys of all frames, in their order.

    ASE takes the number of atoms that a frame gives for granted, and would look for a billion of them.

    Raises:
        ValueError: When a frame does not begin with a number of atoms, has fewer, or has a damaged comment line.
        OSError: When the file cannot be unpacked.
    """
    keys: dict[str, None] = {}
    frame = 0
    with open_text(path) as stream:
        while count := stream.readline(_LONGEST_LINE).strip():
            if not count.isdecimal():
                raise ValueError(f"frame {frame} begins with {count[:40]!r}, not with a number of atoms")
            n_atoms, found = int(count), _keys(stream.readline(_LONGEST_LINE), frame)
            keys |= dict.fromkeys(found)
            if (n_lines := sum(1 for _ in islice(stream, n_atoms))) < n_atoms:
                raise ValueError(f"frame {frame} is of {n_atoms} atoms, and has the lines of {n_lines}")
            frame += 1
    return keys


def _keys(comment: str, frame: int) -> dict[str, Any]:
    """The keys and values of a comment line."""
    try:
        found = key_val_str_to_dict(comment)
    except Exception as error:  # ASE's parser fails in any way there is
        raise ValueError(f"the comment line of frame {frame} is damaged ({error!r})") from error
    widths = str(found.get("Properties", "")).split(":")[2::3]
    if any(not width.isdecimal() or int(width) > _MOST_COLUMNS for width in widths):
        raise ValueError(f"frame {frame} has the properties {', '.join(widths)[:40]} numbers wide")
    return found


def _rows(path: Path, columns: dict[str, None], wanted: Wanted) -> Iterator[Row]:
    number = wanted.start
    frames = f"{wanted.start}:" if wanted.stop is None else f"{wanted.start}:{wanted.stop}"
    try:
        with open_text(path) as stream:
            for atoms in ase.io.iread(stream, index=frames, format="extxyz"):
                # ASE moves energies and the like from the comment line to a calculator.
                results = {} if atoms.calc is None else atoms.calc.results
                values = {key: value for key, value in results.items() if key in columns} | atoms.info
                yield Row(f"{path}, frame {number}", str(number), values, partial(as_structure, atoms))
                number += 1
    except Exception as error:  # ASE's parser fails in any way there is
        raise UnreadableError(f"{path} is damaged at or after frame {number} ({error})") from error
