"""Files in, checked crystals with ids and targets out."""

import gzip
import json
import os
import tracemalloc
from itertools import islice
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matminer.utils.io import store_dataframe_as_json
from monty.serialization import dumpfn
from pymatgen.io.vasp import Poscar
from strategies import reference_crystals

from moe_mat.crystals.errors import CrystalError
from moe_mat.crystals.parquet_tables import OPTIMADE_COLUMNS
from moe_mat.crystals.readers import iter_crystals, read_structures
from moe_mat.crystals.structures import structure_key

DATA = Path(os.environ.get("MOE_MAT_DATA", "absent"))
TASKS = sorted((DATA / "benchmark").glob("*.parquet"))
needs_data = pytest.mark.skipif(not TASKS, reason="MOE_MAT_DATA names no folder with benchmark/*.parquet")

CRYSTALS = dict(islice(((name.split()[0], crystal) for name, crystal in reference_crystals().items()), 5))
GAPS = dict(zip(CRYSTALS, [3.0, 8.5, 5.0, 0.0, 1.3], strict=True))


def optimade_table(crystals, **columns):
    return pa.table(
        {
            "lattice_vectors": [crystal.lattice.matrix.tolist() for crystal in crystals],
            "cartesian_site_positions": [crystal.cart_coords.tolist() for crystal in crystals],
            "species_at_sites": [crystal.labels for crystal in crystals],
            **columns,
        }
    )


def dataframe():
    columns = {"material_id": list(CRYSTALS), "structure": list(CRYSTALS.values()), "gap": list(GAPS.values())}
    return pd.DataFrame(columns)


def write_parquet(folder):
    table = optimade_table(CRYSTALS.values(), material_id=list(CRYSTALS), gap=list(GAPS.values()))
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def write_cifs(folder):
    for name, crystal in CRYSTALS.items():
        crystal.to(str(folder / f"{name}.cif"), significant_figures=12)
    return folder


def write_mixed_folder_with_csv(folder):
    formats = ["{}.vasp", "POSCAR.{}", "{}.cif.gz", "{}.xyz", "{}.json"]
    lines = ["name,gap"]
    for (name, crystal), pattern in zip(CRYSTALS.items(), formats, strict=True):
        path = folder / pattern.format(name)
        if path.suffix == ".xyz":
            ase.io.write(path, crystal.to_ase_atoms(), format="extxyz")
        elif path.suffix == ".gz":
            path.write_bytes(gzip.compress(crystal.to(fmt="cif", significant_figures=12).encode()))
        elif path.suffix == ".json":
            path.write_text(json.dumps(crystal.as_dict()))
        else:
            path.write_text(Poscar(crystal).get_str(significant_figures=12))
        lines.append(f"{path.name},{GAPS[name]}")
    (folder / "targets.csv").write_text("\n".join(lines))
    return folder


def write_csv(folder):
    (folder / "cifs").mkdir()
    write_cifs(folder / "cifs")
    rows = [f"{name},cifs/{name}.cif,{GAPS[name]}" for name in CRYSTALS]
    (folder / "gaps.csv").write_text("\n".join(["\ufeffmaterial_id,file,gap", *rows]), encoding="utf-8")
    return folder / "gaps.csv"


def write_matminer(folder, orient="split", name="a.json.gz"):
    store_dataframe_as_json(dataframe(), str(folder / name), orient=orient, pbar=False)
    return folder / name


def write_id_to_record(folder):
    records = {name: {"structure": crystal.as_dict(), "gap": GAPS[name]} for name, crystal in CRYSTALS.items()}
    (folder / "a.json").write_text(json.dumps(records))
    return folder / "a.json"


def write_monty_dataframe(folder):
    table = dataframe()
    table["structure"] = [crystal.as_dict() for crystal in table["structure"]]
    dumpfn(table, str(folder / "a.json"))
    return folder / "a.json"


def write_extxyz(folder):
    frames = []
    for name, crystal in CRYSTALS.items():
        frames.append(crystal.to_ase_atoms())
        frames[-1].info = {"material_id": name, "gap": GAPS[name]}
    ase.io.write(folder / "a.extxyz", frames)
    return folder / "a.extxyz"


WRITERS = {
    "parquet": write_parquet,
    "mixed folder with csv": write_mixed_folder_with_csv,
    "csv": write_csv,
    "matminer split": write_matminer,
    "matminer records": lambda folder: write_matminer(folder, "records", "a.json"),
    "id to record": write_id_to_record,
    "monty dataframe": write_monty_dataframe,
    "extxyz": write_extxyz,
    "dataframe": lambda _: dataframe(),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_crystals_and_targets(kind, tmp_path):
    structures, table = read_structures(WRITERS[kind](tmp_path), targets=["gap"])
    assert table.columns[0] == "material_id"
    assert table.attrs["left_out"] == []
    ids = [name.removeprefix("POSCAR.") for name in table["material_id"]]
    assert ids == list(CRYSTALS)
    assert table["gap"].tolist() == list(GAPS.values())
    for structure, name in zip(structures, ids, strict=True):
        same_order = sorted(structure, key=lambda site: (site.specie.Z, *np.round(site.frac_coords % 1 % 1, 6)))
        expected = sorted(CRYSTALS[name], key=lambda site: (site.specie.Z, *np.round(site.frac_coords % 1 % 1, 6)))
        assert [site.specie.Z for site in same_order] == [site.specie.Z for site in expected]
        np.testing.assert_allclose(structure.lattice.parameters, CRYSTALS[name].lattice.parameters, atol=1e-6)
        difference = np.array([a.frac_coords - b.frac_coords for a, b in zip(same_order, expected, strict=True)])
        np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-6)


def test_structures_alone_are_enough(tmp_path):
    _, table = read_structures(write_cifs(tmp_path))
    assert table["material_id"].tolist() == sorted(CRYSTALS)
    dicts = [crystal.as_dict() for crystal in CRYSTALS.values()]
    by_id = dict(zip(CRYSTALS, dicts, strict=True))
    for data, ids in [(dicts, list("01234")), (by_id, list(CRYSTALS)), (dicts[0], ["0"])]:
        (tmp_path / "b.json").write_text(json.dumps(data))
        structures, table = read_structures(tmp_path / "b.json")
        assert table["material_id"].tolist() == ids
        assert structure_key(structures[0]) == structure_key(next(iter(CRYSTALS.values())))
    structures, table = read_structures(tmp_path / "Mg.cif")
    assert table["material_id"].tolist() == ["Mg"]


@needs_data
@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_benchmark_files_load(path):
    structures, table = read_structures(path, targets=[path.stem])
    expected = pd.read_parquet(path)
    assert table["row"].tolist() == expected["row"].tolist()
    np.testing.assert_array_equal(table[path.stem], expected[path.stem])
    assert table["material_id"].is_unique
    assert [len(structure) for structure in structures] == expected["species_at_sites"].map(len).tolist()
    last = np.array(expected["cartesian_site_positions"].iloc[-1].tolist())
    np.testing.assert_allclose(structures[-1].cart_coords, last, atol=1e-9)


def test_ids_that_repeat_give_way_to_ids_that_do_not(tmp_path, caplog):
    path = tmp_path / "a.parquet"
    crystals = list(CRYSTALS.values())[:2]
    pq.write_table(optimade_table(crystals, material_id=["mp-1", "mp-1"], row=[7, 8]), path)
    _, table = read_structures(path)
    assert table["material_id"].tolist() == ["7", "8"]
    assert table["row"].tolist() == [7, 8]
    assert table["material_id_in_file"].tolist() == ["mp-1", "mp-1"]
    assert "'material_id' repeats" in caplog.text
    with pytest.raises(CrystalError, match="row 1, crystal 'mp-1': this id occurs a second time"):
        read_structures(path, id_column="material_id")


def test_ids_are_text_whatever_they_are_in_the_file(tmp_path):
    table = pd.DataFrame({"material_id": [12.0, 13.0], "structure": list(CRYSTALS.values())[:2]})
    _, read = read_structures(table)
    assert read.columns.tolist() == ["material_id"]
    assert read["material_id"].tolist() == ["12", "13"]
    table.loc[1, "material_id"] = np.nan
    with pytest.raises(CrystalError, match="row 1, column 'material_id': the id is missing"):
        read_structures(table)


def test_targets_must_be_finite_numbers(tmp_path):
    crystals = [next(iter(CRYSTALS.values()))] * 6
    path = tmp_path / "a.parquet"
    gap, mass = [1.0, None, float("nan"), None, float("inf"), 2.0], ["0.5", "1", None, "", "heavy", "heavy"]
    pq.write_table(optimade_table(crystals, id=list("abcdef"), gap=gap, mass=mass), path)

    with pytest.raises(CrystalError, match="row 1, crystal 'b', column 'gap': no value"):
        read_structures(path, targets=["gap"])
    words = pd.DataFrame({"structure": crystals[:3], "mass": [1, "heavy", 2]}, index=list("abc"))
    with pytest.raises(CrystalError, match="row 1, crystal 'b', column 'mass': 'heavy' is not a number"):
        read_structures(words, targets=["mass"])

    _, table = read_structures(path, targets=["gap", "mass"], on_error="skip")
    assert table["material_id"].tolist() == ["a", "b", "f"]
    np.testing.assert_array_equal(table[["gap", "mass"]], [[1, 0.5], [np.nan, 1], [2, np.nan]])
    assert {problem["material_id"]: problem["reason"].split(":")[0] for problem in table.attrs["left_out"]} == {
        "c": "no value",
        "d": "no value",
        "e": "the value is inf; 'heavy' is not a number",
    }
    assert table.attrs["left_out"][0]["column"] == "gap, mass"


@pytest.mark.parametrize("kind", ["parquet", "csv", "matminer split", "extxyz", "dataframe"])
def test_unknown_columns_are_never_skipped(kind, tmp_path):
    source = WRITERS[kind](tmp_path)
    for wrong in ({"targets": ["gpa"]}, {"id_column": "gpa"}):
        with pytest.raises(ValueError, match=r"no column 'gpa': did you mean 'gap'\? .*gap, material_id"):
            iter_crystals(source, on_error="skip", **wrong)


def test_parquet_rows_are_judged_one_by_one(tmp_path):
    crystal = next(iter(CRYSTALS.values()))
    good = (crystal.lattice.matrix.tolist(), crystal.cart_coords.tolist(), crystal.labels)
    rows = {
        "good": good,
        "no lattice": (None, *good[1:]),
        "no species": (*good[:2], None),
        "a gap": (*good[:2], [*good[2][:-1], None]),
        "two numbers": (good[0], [*good[1][:-1], [0.0, 1.0]], good[2]),
        "no number": (good[0], [*good[1][:-1], [0.0, None, 1.0]], good[2]),
        "a site short": (good[0], good[1][:-1], good[2]),
        "no element": (*good[:2], [*good[2][:-1], "Vac"]),
        "dummy": (*good[:2], [*good[2][:-1], "X"]),
        "empty": (good[0], [], []),
        "good too": good,
    }
    columns = dict(zip(OPTIMADE_COLUMNS, zip(*rows.values(), strict=True), strict=True))
    pq.write_table(pa.table({**columns, "id": list(rows)}), tmp_path / "a.parquet")
    structures, table = read_structures(tmp_path / "a.parquet", on_error="skip")
    assert table["material_id"].tolist() == ["good", "good too"]
    assert structure_key(structures[0]) == structure_key(structures[1]) == structure_key(crystal)
    reasons = {problem["material_id"]: problem["reason"] for problem in table.attrs["left_out"]}
    for name, words in {
        "no lattice": "lattice_vectors is missing",
        "no species": "species_at_sites is missing",
        "a gap": "gap",
        "two numbers": "",
        "no number": "",
        "a site short": "5 species but positions of the shape (4, 3)",
        "no element": "Vac",
        "dummy": "dummy",
        "empty": "no sites",
    }.items():
        assert words in reasons.pop(name)
    assert not reasons


def test_missing_paths_and_columns(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere\.parquet"):
        read_structures(tmp_path / "nowhere.parquet")
    with pytest.raises(ValueError, match="no structure files"):
        read_structures(tmp_path)
    pd.DataFrame({"lattice_vectors": [1], "gap": [2]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="lacks cartesian_site_positions, species_at_sites"):
        read_structures(tmp_path / "a.parquet")


def test_parquet_is_streamed(tmp_path):
    path = tmp_path / "large.parquet"
    table = optimade_table([CRYSTALS["NaCl"]] * 500)
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(5):
            writer.write_table(table)
    crystals = iter_crystals(path)
    next(crystals)
    tracemalloc.start()
    count = sum(1 for _ in islice(crystals, 2000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000
    assert peak < 3e6  # bytes: one batch of rows and the ids; 2000 such crystals take 8e6
