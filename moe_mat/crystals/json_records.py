"""What a parsed JSON value holds: crystals with their columns, in any form that databases and programs write."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moe_mat.crystals.optimade import STRUCTURE_ATTRIBUTES
from moe_mat.crystals.structure_dicts import kind_of_dict

STRUCTURE = "structure"
"""The column of the crystals, in documents and in what is read here of entries that are crystals themselves."""

ASE_RESULTS = ("energy", "free_energy", "magmom")
"""Numbers that a calculator gave, which a database of ASE keeps beside what a user has written into it."""

_FORMS = (
    "a list of structures or of records, a dict of either by id, a DataFrame stored by matminer, pandas or monty, "
    "an answer of OPTIMADE, or a database of ASE is needed"
)
_NAMED = 8  # keys of what is not recognised
# Columns by which documents of the Materials Project are known, in messages.
_DOCUMENT = frozenset({"formula_pretty", "nelements", "builder_meta", "composition_reduced", "energy_above_hull"})


@dataclass(frozen=True, slots=True)
class Records:
    """Rows of a table.

    Attributes:
        rows: By column; of the crystals under ``structure``, or where the records have them.
        names: Of the rows, where the form has any.
    """

    rows: list[dict[str, Any]]
    names: list[str] | None = None


def records_of(data: Any, structure_column: str = STRUCTURE) -> Records:
    """The rows of a parsed JSON value: entries, pages of them, or documents.

    Args:
        data: As the parser gives it.
        structure_column: The name of the column of crystals where entries are nothing else.

    Raises:
        ValueError: When it is none of the known forms; says what it looks like, and what is missing.
    """
    if isinstance(data, list):
        return _entries(data, None, structure_column)
    if not isinstance(data, dict):
        raise ValueError(f"holds no crystals that can be recognised, but {reprlib.repr(data)}: {_FORMS}")
    if (kind := kind_of_dict(data)) is not None:
        row = _of_entry(data) if kind in ("document", "optimade") else {structure_column: data}
        return Records([row])
    if is_answer(data):
        return _of_answer(data, structure_column)
    if is_ase_database(data):
        return Records(list(_ase_rows(data)))
    if data and all(isinstance(one, dict) for one in data.values()):
        return _entries(list(data.values()), list(data), structure_column)
    keys = ", ".join(map(reprlib.repr, list(data)[:_NAMED])) or "nothing in it"
    raise ValueError(f"holds no crystals that can be recognised, but a dict with {keys}: {_FORMS}")


def is_answer(data: Mapping[str, Any]) -> bool:
    """Whether a dict is a page that a database has answered with, by OPTIMADE or the Materials Project."""
    has_data = isinstance(data.get("data"), (list, dict)) and "columns" not in data
    return has_data or ("errors" in data and "meta" in data)


def is_ase_database(data: Mapping[str, Any]) -> bool:
    """Whether a dict is a database that ASE has written."""
    return isinstance(data.get("ids"), list) and "nextid" in data


def is_note(line: Any) -> bool:
    """Whether a line of a file of OPTIMADE says something about the others, and is no crystal itself."""
    return isinstance(line, dict) and ("x-optimade" in line or line.get("type") == "info")


def _entries(entries: list[Any], names: list[str] | None, structure_column: str) -> Records:
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            name = number if names is None else repr(names[number])
            raise ValueError(
                f"holds no crystals that can be recognised: entry {name} is {reprlib.repr(entry)}, and {_FORMS}"
            )
    kinds = {kind_of_dict(entry) for entry in entries}
    if kinds <= {"pymatgen", "ase"}:
        return Records([{structure_column: entry} for entry in entries], names)
    return Records([_of_entry(entry) for entry in entries], names)


def _of_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is; of an OPTIMADE entry the attributes, with the crystal under one name."""
    if kind_of_dict(entry) == "pymatgen":
        return {STRUCTURE: entry}
    if kind_of_dict(entry) != "optimade":
        return dict(entry)
    attributes = entry.get("attributes")
    if not isinstance(attributes, dict):
        entry, attributes = {}, entry
    values = {name: value for name, value in attributes.items() if name not in STRUCTURE_ATTRIBUTES}
    if values.get("immutable_id", "") is None:
        del values["immutable_id"]
    own = {"id": entry["id"]} if "id" in entry else {}
    return {**own, **values, STRUCTURE: {name: attributes.get(name) for name in STRUCTURE_ATTRIBUTES}}


def _of_answer(answer: Mapping[str, Any], structure_column: str) -> Records:
    if "data" not in answer:
        raise ValueError(f"is an answer without data, with the errors {reprlib.repr(answer['errors'])}")
    entries = answer["data"] if isinstance(answer["data"], list) else [answer["data"]]
    types = {str(entry.get("type")) for entry in entries if isinstance(entry, dict) and "attributes" in entry}
    if strange := types - {"structures"}:
        raise ValueError(
            f"is an OPTIMADE answer of {', '.join(sorted(strange))}, which are no crystals: ask for structures"
        )
    return _entries(entries, None, structure_column)


def _ase_rows(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number in data["ids"]:
        row = data.get(str(number))
        if not isinstance(row, dict):
            raise ValueError(f"is a database of ASE without the row {reprlib.repr(number)} that its ids name")
        values = row.get("key_value_pairs")
        results = {name: row[name] for name in ASE_RESULTS if row.get(name) is not None}
        crystal = {name: row.get(name) for name in ("numbers", "positions", "cell", "pbc")}
        own = {"id": number, "unique_id": row.get("unique_id")}
        yield {**own, **results, **(values if isinstance(values, dict) else {}), STRUCTURE: crystal}


def missing_structures(columns: list[str]) -> str:
    """What to say of records none of whose columns holds crystals."""
    known = ", ".join(columns) or "none"
    if not _DOCUMENT.isdisjoint(columns):
        return (
            "these are documents of the Materials Project without structures: ask for them, as in "
            f"mpr.materials.summary.search(..., fields=['material_id', 'structure', ...]); their fields are {known}"
        )
    return f"its columns are {known}"
