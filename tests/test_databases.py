"""Crystals as databases export them: ASE, the Materials Project, OPTIMADE; what each is, is seen by its content."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pytest
from monty.json import MontyEncoder
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from strategies import reference_crystals

from moe_mat.crystals.errors import CrystalError
from moe_mat.crystals.readers import iter_crystals, open_table, read_structures
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.tables import Wanted

CRYSTALS = [reference_crystals()[name] for name in ("NaCl rocksalt", "Mg hcp", "CaTiO3 perovskite")]
GAPS = [5.0, 0.0, 3.5]


def optimade(structure: Structure, number: int, **changed: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "immutable_id": None,
        "_db_gap": GAPS[number],
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species_at_sites": [f"{site.specie.symbol}1" for site in structure],
        "species": [
            {"name": f"{element}1", "chemical_symbols": [element.symbol], "concentration": [1.0]}
            for element in structure.composition.element_composition
        ],
        "dimension_types": [1, 1, 1],
        "structure_features": [],
    }
    return {"id": f"db-{number}", "type": "structures", "attributes": attributes | changed}


def entries() -> list[dict[str, Any]]:
    return [optimade(structure, number) for number, structure in enumerate(CRYSTALS)]


def documents() -> list[dict[str, Any]]:
    return [
        {
            "@class": "SummaryDoc",
            "@module": "emmet.core.summary",
            "material_id": f"mp-{number}",
            "formula_pretty": structure.composition.reduced_formula,
            "structure": structure,
            "gap": gap,
        }
        for number, (structure, gap) in enumerate(zip(CRYSTALS, GAPS, strict=True))
    ]


def dump(path: Path, content: Any) -> Path:
    text = json.dumps(content, cls=MontyEncoder)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def lines(path: Path, contents: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(content, cls=MontyEncoder) for content in contents) + "\n")
    return path


def ase_database(path: Path) -> Path:
    with ase.db.connect(path) as database:
        for structure, gap in zip(CRYSTALS, GAPS, strict=True):
            database.write(structure.to_ase_atoms(), gap=gap, label=f"x{gap}")
    return path


def pages(folder: Path) -> Path:
    folder.mkdir()
    dump(folder / "page-1.json", {"data": entries()[:2], "meta": {"more_data_available": True}})
    dump(folder / "page-2.json.gz", {"data": entries()[2:], "meta": {}})
    dump(folder / "page-3.json", {"data": [], "meta": {}})
    return folder


def document_folder(folder: Path) -> Path:
    folder.mkdir()
    for document in documents():
        dump(folder / f"{document['material_id']}.json", document)
    return folder


HEADER = [{"x-optimade": {"meta": {"api_version": "1.2.0"}}}, {"type": "info", "id": "structures", "properties": {}}]
FORMS: dict[str, Callable[[Path], Path]] = {
    "ASE database": lambda folder: ase_database(folder / "a.db"),
    "ASE database in JSON": lambda folder: ase_database(folder / "a.json"),
    "documents": lambda folder: dump(folder / "a.json", documents()),
    "answer of documents": lambda folder: dump(folder / "a.json.gz", {"data": documents(), "meta": {"total_doc": 3}}),
    "lines of documents": lambda folder: lines(folder / "a.jsonl", documents()),
    "folder of documents": lambda folder: document_folder(folder / "docs"),
    "OPTIMADE answer": lambda folder: dump(folder / "a.json", {"data": entries(), "meta": {}, "links": {}}),
    "OPTIMADE entries": lambda folder: dump(folder / "a.json", entries()),
    "OPTIMADE lines": lambda folder: lines(folder / "a.jsonl", [*HEADER, *entries()]),
    "OPTIMADE pages in lines": lambda folder: lines(
        folder / "a.json", [{"data": entries()[:1]}, {"data": entries()[1:]}]
    ),
    "OPTIMADE pages": lambda folder: pages(folder / "pages"),
}
ID_OF_FORM = {"A": ["1", "2", "3"], "O": ["db-0", "db-1", "db-2"]}


@pytest.mark.parametrize("form", FORMS)
def test_every_export_gives_the_same_crystals(form: str, tmp_path: Path) -> None:
    path = FORMS[form](tmp_path)
    gap = "_db_gap" if form.startswith("OPTIMADE") else "gap"
    structures, table = read_structures(path, targets=[gap])
    assert [structure_key(one) for one in structures] == [structure_key(one) for one in CRYSTALS]
    assert table["material_id"].tolist() == ID_OF_FORM.get(form[0], ["mp-0", "mp-1", "mp-2"])
    assert table[gap].tolist() == GAPS
    rows = open_table(path).rows(Wanted(1, 2, columns=()))
    assert [structure_key(row.load()) for row in rows] == [structure_key(CRYSTALS[1])]


def test_one_structure_or_document_in_a_file_is_a_table_of_one(tmp_path: Path) -> None:
    entry = ComputedStructureEntry(CRYSTALS[0], -3.0, entry_id="mp-0-GGA").as_dict()
    for content in (CRYSTALS[0], documents()[0], entries()[0], {"data": entries()[0]}, entry):
        (structure,), _ = read_structures(dump(tmp_path / "a.json", content))
        assert structure_key(structure) == structure_key(CRYSTALS[0])


def test_crystals_that_are_objects_are_a_table(tmp_path: Path) -> None:
    structures, table = read_structures(CRYSTALS[0])
    assert structures == [CRYSTALS[0]]
    assert table.to_dict("list") == {"material_id": ["0"]}
    structures, table = read_structures(documents(), targets=["gap"])
    assert table["material_id"].tolist() == ["mp-0", "mp-1", "mp-2"]
    assert table["gap"].tolist() == GAPS
    structures, table = read_structures([structure.to_ase_atoms() for structure in CRYSTALS])
    assert [structure_key(one) for one in structures] == [structure_key(one) for one in CRYSTALS]
    with pytest.raises(CrystalError, match=r"row 1, crystal '1': .*int is not a crystal"):
        read_structures([CRYSTALS[0], 5])  # type: ignore[list-item]


def test_an_ase_database_is_only_read(tmp_path: Path) -> None:
    path = ase_database(tmp_path / "a.db")
    before = path.read_bytes()
    path.chmod(0o400)
    read_structures(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.db"]


def test_a_molecule_in_an_ase_database_is_named(tmp_path: Path) -> None:
    path = ase_database(tmp_path / "a.db")
    with ase.db.connect(path) as database:
        database.write(ase.Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]))
        database.write(ase.Atoms("Cu", cell=[3.6] * 3, pbc=[True, True, False]))
    _, table = read_structures(path, on_error="skip")
    assert [problem["material_id"] for problem in table.attrs["left_out"]] == ["4", "5"]
    assert "no three-dimensional cell" in table.attrs["left_out"][0]["reason"]
    assert "not periodic along c" in table.attrs["left_out"][1]["reason"]


BAD_ENTRIES = {
    "disorder": (
        {"species": [{"name": "Na1", "chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}]},
        r"site 0 \(Na1\) is disordered \(0.5 Na, 0.5 K\)",
    ),
    "share": (
        {"species": [{"name": "Na1", "chemical_symbols": ["Na"], "concentration": [0.9]}]},
        r"site 0 \(Na1\) is disordered",
    ),
    "vacancy": (
        {"species": [{"name": "Na1", "chemical_symbols": ["vacancy"], "concentration": [1]}]},
        r"site 0 \(Na1\) is a vacancy",
    ),
    "unknown": ({"species": [{"name": "Na1", "chemical_symbols": ["X"], "concentration": [1]}]}, "not an element"),
    "undescribed": ({"species": []}, "species 'Na1', which species does not describe"),
    "nameless": ({"species": [{"chemical_symbols": ["Na"]}]}, "not an OPTIMADE structure .KeyError"),
    "wrong types": ({"species": 7}, "not an OPTIMADE structure .TypeError"),
    "unhashable": ({"species_at_sites": [["Na1"]] * 8}, "not an OPTIMADE structure .TypeError"),
    "text": ({"cartesian_site_positions": "none"}, "cartesian_site_positions is 'none' and no list"),
    "missing": ({"lattice_vectors": None}, "no lattice_vectors: ask for them by response_fields="),
    "layer": ({"dimension_types": [1, 1, 0]}, "not periodic along c"),
    "implicit": ({"structure_features": ["implicit_atoms"]}, "atoms without positions"),
    "short": ({"cartesian_site_positions": [[0, 0, 0]]}, "8 species but positions of the shape"),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_optimade_entries_are_judged_one_by_one(name: str, tmp_path: Path) -> None:
    change, message = BAD_ENTRIES[name]
    path = dump(tmp_path / "a.json", {"data": [optimade(CRYSTALS[0], 0, **change), *entries()[1:]]})
    with pytest.raises(CrystalError, match=rf"a.json, row 0, crystal 'db-0': .*{message}"):
        read_structures(path)
    _, table = read_structures(path, on_error="skip")
    assert table["material_id"].tolist() == ["db-1", "db-2"]


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "no fields": (
        "a.json",
        json.dumps([{"material_id": "mp-1", "nelements": 1}]).encode(),
        r"documents of the Materials Project without structures: ask .*fields=\[",
    ),
    "error": (
        "a.json",
        b'{"errors": [{"detail": "no such filter"}], "meta": {}}',
        "without data, with the errors .*no such filter",
    ),
    "references": (
        "a.json",
        b'{"data": [{"id": "1", "type": "references", "attributes": {}}]}',
        "answer of references, which are no crystals",
    ),
    "ids of nothing": ("a.json", b'{"ids": [1], "nextid": 2}', "database of ASE without the row 1"),
    "cut answer": ("a.json", b'{"data": [{"id": "1", "type": "str', "not whole JSON"),
    "cut lines": ("a.jsonl", b'{"material_id": "mp-1"}\n{"mater', "damaged at line 2"),
    "numbers": ("a.jsonl", b"5\n", "line 1 holds no crystals that can be recognised, but 5"),
    "deep lines": ("a.jsonl", b"[" * 200_000, "nests lists in each other"),
    "empty lines": ("a.jsonl", b"", "holds structures: its columns are none"),
    "no database": ("a.db", b"not a database", "not a whole SQLite database"),
    "cut database": ("a.db", b"SQLite format 3\0" + b"\xff" * 200, "not a whole SQLite database"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_say_what_they_are_taken_for(name: str, tmp_path: Path) -> None:
    file, content, message = BAD_FILES[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file}.*{message}"):
        read_structures(tmp_path / file, on_error="skip")


def test_other_sqlite_databases_are_not_made_into_one_of_ase(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE molecules (id INTEGER)")
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(ValueError, match=r"a\.db is an SQLite database, but not of ASE: it has the tables molecules"):
        read_structures(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_bytes() == before


def test_damaged_rows_of_an_ase_database_are_named(tmp_path: Path) -> None:
    path = ase_database(tmp_path / "a.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE systems SET positions = x'0011' WHERE id = 2")
        connection.execute("UPDATE systems SET numbers = ? WHERE id = 3", (np.array([-7] * 5, "<i4").tobytes(),))
    _, table = read_structures(path, on_error="skip")
    assert [problem["material_id"] for problem in table.attrs["left_out"]] == ["2", "3"]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE systems SET key_value_pairs = '{' WHERE id = 2")
    with pytest.raises(ValueError, match=r"damaged after row 1"):
        list(iter_crystals(path, on_error="skip"))


def test_ids_that_occur_twice_on_two_pages_are_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"data": entries()}, {"data": entries()[:1]}])
    with pytest.raises(CrystalError, match=r"a.jsonl, line 2, crystal 'db-0': this id occurs a second time"):
        read_structures(path)
