"""Damaged, mislabelled and half-missing files: named when met, never taken for something else."""

import gzip

import ase.io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Structure
from strategies import reference_crystals

from moe_mat.crystals.errors import CrystalError
from moe_mat.crystals.readers import iter_crystals, read_structures

ROCKSALT = reference_crystals()["NaCl rocksalt"]
CIF = ROCKSALT.to(fmt="cif")
ALLOY = Structure(np.eye(3) * 3, [{"Fe": 0.5, "Mn": 0.5}], [[0, 0, 0]])
BAD_FILES = {
    "page.cif": ("<!DOCTYPE html><html><body>403</body></html>", "web page .HTML."),
    "empty.cif": ("", "the file is empty"),
    "noise.cif": ("\x00\x01 no crystal", "unreadable as CIF"),
    "cut.cif": (CIF[: CIF.index("_cell_angle")], "unreadable as CIF"),
    "cut_between_lines.cif": (CIF[: CIF.index("  Cl")], "do not add up to the formula"),
    "two.cif": (CIF + CIF.replace("data_NaCl", "data_again"), "2 structures"),
    "broken.cif.gz": (gzip.compress(CIF.encode(), mtime=0)[:100], "unreadable as CIF"),
    "cut.vasp": ("\n".join(ROCKSALT.to(fmt="poscar").splitlines()[:-2]), "unreadable as POSCAR"),
    "nameless.vasp": ("?\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\ndirect\n0 0 0\n.5 .5 .5\n", "does not name its elements"),
    "molecule.xyz": ("1\nwater without a cell\nO 0 0 0\n", "no three-dimensional cell"),
    "settings.json": ('{"cutoff": 8}', "not the dict of a pymatgen Structure"),
    "no_atoms.vasp": ("x\n1\n4 0 0\n0 4 0\n0 0 4\nNa\n0\ndirect\n", "the cell is empty"),
    "no_atoms.cif": (CIF[: CIF.index("  Na")], "no structures"),
    "empty_loop.cif": ("data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\n", "a loop_ of the CIF is empty"),
    "no_atoms.xyz": (
        '0\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\n',
        "the cell is empty",
    ),
    "many.vasp": ("x\n1\n4 0 0\n0 4 0\n0 0 4\nNa\n999999999999\ndirect\n0 0 0\n", "counts 999999999999 atoms"),
    "many.xyz": ('9999999999\nLattice="4 0 0 0 4 0 0 0 4"\nNa 0 0 0\n', "of 9999999999 atoms, and has the lines of 1"),
    "nested.json": ("[" * 200_000, "unreadable as JSON"),
    "nanometres.vasp": (
        Structure(ROCKSALT.lattice.matrix / 10, ROCKSALT.species, ROCKSALT.frac_coords).to(fmt="poscar"),
        "less than any crystal",
    ),
    "disordered.cif": (ALLOY.to(fmt="cif"), "disordered"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named(name, tmp_path):
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CrystalError, match=rf"{name}, crystal '{name.split('.')[0]}': (.|\n)*{message}"):
        read_structures(tmp_path)
    (tmp_path / "good.cif").write_text(CIF)
    (tmp_path / "README").write_text("not a crystal")
    _, table = read_structures(tmp_path, on_error="skip")
    assert table["material_id"].tolist() == ["good"]
    assert len(table.attrs["left_out"]) == 1


def test_a_folder_and_its_csv_need_not_agree(tmp_path, caplog):
    for name in ("NaCl", "Mg", "MoS2", "CaTiO3"):
        (tmp_path / f"{name}.cif").write_text(CIF)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "targets.csv").write_text("id,gap,label\nNaCl,5.0,007\nMissing,1.0,x\nMg,,x\nMoS2,1.3\n")
    _, table = read_structures(tmp_path, targets=["gap"], on_error="skip")
    assert table["material_id"].tolist() == ["NaCl"]
    reasons = {problem["material_id"]: problem["reason"] for problem in table.attrs["left_out"]}
    assert reasons.keys() == {"Missing", "Mg", "MoS2", "CaTiO3"}
    assert "no structure file 'Missing'" in reasons["Missing"]
    assert "cells" in reasons["MoS2"]
    assert reasons["CaTiO3"].startswith("no value")
    assert "notes.txt" in caplog.text
    (tmp_path / "second.csv").write_text("id,gap\n")
    with pytest.raises(ValueError, match=r"several CSV files \(second.csv, targets.csv\)"):
        read_structures(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("a.parquet", b"<html>", "web page"),
        ("a.json", b'[{"structure": {"latt', "not whole JSON"),
        ("a.json", b"[" * 200_000, "nests lists in each other"),
        ("a.json", b"[" * 200_000 + b"]" * 200_000, "nests lists in each other"),
        ("a.json", b'{"columns": ["structure", "gap"], "data": [[1]]}', "columns and rows do not fit together"),
        ("a.json", b'{"@class": "DataFrame", "data": {}}', "not whole JSON"),
        ("a.csv", b"file;gap\nNaCl.cif;5,0\n", "separates its columns by semicolons"),
        ("a.csv", b"file\tgap\nNaCl.cif\t5.0\n", "separates its columns by tabs"),
        ("a.extxyz", b"1\nProperties=species:S:1:pos:R:99999999999\nNa 0 0 0\n", "damaged, or is not .extended. XYZ"),
        ("a.json", b'{"cutoff": 8}', "no crystals that can be recognised"),
        ("a.json.gz", gzip.compress(b"[1, 2, 3]" * 1000, mtime=0)[:-20], "not whole JSON"),
        ("a.csv", b"", "first line must name the columns"),
        ("a.csv", b"mp-1,0.5\nmp-2,0.7\n", "names structure files.*first line must name them"),
        ("a.csv", b"gap,gap\n", "names a column twice"),
        ("a.csv", b"gap\n\xff\xfe", "damaged|UTF-8"),
        ("a.extxyz", b"not a number\n", "not .extended. XYZ"),
        ("a.hdf5", b"x", "unknown type of file"),
    ],
)
def test_files_that_cannot_be_read_at_all_are_never_skipped(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        read_structures(tmp_path / name, on_error="skip")


def test_a_cut_extxyz_is_no_shorter_extxyz(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [ROCKSALT.to_ase_atoms()] * 3)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))
    with pytest.raises(ValueError, match=r"a\.extxyz is damaged"):
        list(iter_crystals(path, on_error="skip"))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lattice_vectors", "oops", "lattice_vectors is 'oops' and no list"),
        ("lattice_vectors", [["a", "b", "c"]] * 3, "the lattice vectors are not numbers"),
        ("cartesian_site_positions", 4.0, "cartesian_site_positions is '4.0' and no list"),
        ("species_at_sites", [3], "species_at_sites has '3', which is no symbol, at site 0"),
        ("species_at_sites", ["Na,spin"], "'Na,spin' is no element"),
    ],
)
def test_other_things_where_lists_of_numbers_should_be(column, value, message, tmp_path):
    good = {
        "lattice_vectors": [(np.eye(3) * 4).tolist()],
        "cartesian_site_positions": [[[0.0, 0.0, 0.0]]],
        "species_at_sites": [["Na"]],
    }
    pq.write_table(pa.table({**good, column: [value]}), tmp_path / "a.parquet")
    with pytest.raises(CrystalError, match=rf"a.parquet, row 0, crystal '0': {message}"):
        read_structures(tmp_path / "a.parquet")


def test_flipped_bytes_of_a_parquet_with_checksums_are_found(tmp_path):
    path = tmp_path / "a.parquet"
    structures = [ROCKSALT] * 20
    columns = {
        "lattice_vectors": [one.lattice.matrix.tolist() for one in structures],
        "cartesian_site_positions": [one.cart_coords.tolist() for one in structures],
        "species_at_sites": [one.labels for one in structures],
    }
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table(columns), path, write_page_checksum=True, **plain)
    content = path.read_bytes()
    place = content.index(np.float64(5.64).tobytes())
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(ValueError, match=r"a.parquet is damaged after row 0 .*checksum"):
        read_structures(path, on_error="skip")


def test_a_file_of_which_nothing_can_be_used_is_an_empty_table(tmp_path):
    (tmp_path / "noise.cif").write_text("noise")
    structures, table = read_structures(tmp_path, on_error="skip")
    assert structures == []
    assert len(table) == 0
    assert len(table.attrs["left_out"]) == 1
