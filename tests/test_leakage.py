"""The leakage audit: which crystals an expert has seen, and what is left without them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from toy_experts import write_expert
from toy_sources import RUTILE, SALT, SOURCE, trained_expert, write_crystals, write_source, write_training_crystals

from moe_mat.audit.matching import match, rows_left
from moe_mat.cli.main import main
from moe_mat.crystals.readers import iter_crystals, read_structures
from moe_mat.zoo.find import find_cards

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")

POLYMORPH = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])  # as caesium chloride
OTHER = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.29), ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def rotated(structure: Structure) -> Structure:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return Structure(structure.lattice.matrix @ rotation, structure.species, structure.frac_coords + 0.137)


def strained(structure: Structure) -> Structure:
    matrix = structure.lattice.matrix @ np.array([[1.01, 0.005, 0], [0, 0.99, 0], [0, 0, 1.02]])
    return Structure(matrix, structure.species, structure.frac_coords)


def shuffled(structure: Structure) -> Structure:
    return Structure.from_sites([structure[i] for i in np.random.default_rng(0).permutation(len(structure))])


COPIES = {
    "supercell": SALT * (2, 1, 1),
    "primitive cell": SALT.get_primitive_structure(),
    "rotated": rotated(RUTILE),
    "strained": strained(RUTILE),
    "swollen": SALT.copy().apply_strain(0.1, inplace=False),
    "in another order": shuffled(SALT),
    "with oxidation states": Structure(
        SALT.lattice, [f"{s}{'+' if s == 'Na' else '-'}" for s in map(str, SALT.species)], SALT.frac_coords
    ),
}


@pytest.fixture
def zoo(tmp_path):
    """Folder of experts and of the source that they were trained on."""
    return write_source(tmp_path)


def overlap(zoo: Path, structures, card, *, quantity: str = "band_gap"):
    (found,) = match(structures, [card], sources=zoo / "sources").overlaps(quantity)
    return found


# Matching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", COPIES)
def test_copy_of_a_training_crystal_is_found(zoo, copy):
    found = overlap(zoo, [OTHER, COPIES[copy]], trained_expert(zoo / "zoo", "e"))
    assert found.crystal.tolist() == found.crystal_with_label.tolist() == found.formula.tolist() == [False, True]
    assert not found.estimated


def test_polymorph_is_found_by_formula_only(zoo):
    found = overlap(zoo, [POLYMORPH, SALT, POLYMORPH], trained_expert(zoo / "zoo", "e"))
    assert found.crystal.tolist() == [False, True, False]
    assert found.formula.all()
    left = rows_left([found])
    assert left["leak-free"].tolist() == [True, False, True]
    assert not left["new formulas"].any()


def test_monolayer_is_found_by_the_formula_of_its_bulk_parent_alone(tmp_path):
    cell = Lattice.hexagonal(3.16, 12.3)
    sites = [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.377], [1 / 3, 2 / 3, 0.123]]
    layer = Structure(Lattice.hexagonal(3.16, 25), ["Mo", "S", "S"], [[a, b, c / 2] for a, b, c in sites])
    other = [[1 - a, 1 - b, c + 0.5] for a, b, c in sites]
    bulk = Structure(cell, ["Mo", "S", "S"] * 2, sites + other)
    write_crystals(tmp_path / "sources" / "toy.parquet", {"bulk": bulk})
    crystals = tmp_path / "zoo" / "toy.training_crystals.npz"
    write_training_crystals(crystals, {"bulk": bulk}, values={"formation_energy": [-0.8], "hardness": [1.0]})
    energy = trained_expert(tmp_path / "zoo", "energy", target="formation_energy")
    hardness = trained_expert(tmp_path / "zoo", "hardness", target="hardness")
    found = match([layer, bulk], [energy, hardness], sources=tmp_path / "sources").overlaps("exfoliation_energy")
    assert [one.crystal.tolist() for one in found] == [[False, True]] * 2
    assert [one.formula.tolist() for one in found] == [[True, True]] * 2
    assert [one.crystal_with_label.tolist() for one in found] == [[False, True], [False, False]]
    assert [one.formula_with_label.tolist() for one in found] == [[True, True], [False, False]]
    left = rows_left(found)
    assert [left[kind].tolist() for kind in left] == [[True, False], [False, False], [False, False]]
    assert rows_left(found[1:])["leak-free by formula"].all()  # hardness tells no energy, but the formula is not new
    assert not rows_left(found[1:])["new formulas"].any()


@pytest.mark.parametrize(("part", "seen"), [("train", True), ("val", False), ("test", False)])
def test_only_training_crystals_were_seen(zoo, part, seen):
    write_training_crystals(zoo / "zoo" / "toy.training_crystals.npz", SOURCE, parts={"salt": part})
    found = overlap(zoo, [SALT], trained_expert(zoo / "zoo", "e"))
    assert found.crystal.tolist() == found.formula.tolist() == [seen]


@pytest.mark.parametrize(("max_atoms", "seen"), [(None, True), (8, True), (7, False)])
def test_crystals_too_large_for_the_network_were_not_seen(zoo, max_atoms, seen):
    found = overlap(zoo, [SALT.get_primitive_structure()], trained_expert(zoo / "zoo", "e", max_atoms=max_atoms))
    assert found.crystal.tolist() == found.formula.tolist() == [seen]


def test_only_crystals_with_a_value_of_the_quantity_gave_its_label(zoo):
    values = {"band_gap_pbe": [1.0, np.nan], "bulk_modulus_kv": [np.nan, 90.0], "magnetic_moment": [0.0, 0.0]}
    write_training_crystals(zoo / "zoo" / "toy.training_crystals.npz", SOURCE, values=values)
    card = trained_expert(zoo / "zoo", "e", target=", ".join(values))
    found = {
        quantity: overlap(zoo, [SALT, RUTILE], card, quantity=quantity)
        for quantity in ("band_gap", "bulk_modulus", "poisson_ratio", "exfoliation_energy")
    }
    assert all(one.crystal.all() for one in found.values())
    assert found["band_gap"].crystal_with_label.tolist() == [True, False]
    assert found["bulk_modulus"].formula_with_label.tolist() == [False, True]
    assert found["poisson_ratio"].crystal_with_label.tolist() == [False, True]  # it is computed from the moduli
    assert not found["exfoliation_energy"].formula_with_label.any()
    one = trained_expert(zoo / "zoo", "one", target="bulk_modulus_kv")
    assert overlap(zoo, [SALT, RUTILE], one).crystal.tolist() == [False, True]


def test_missing_source_is_estimated_and_marked(zoo):
    card = trained_expert(zoo / "zoo", "e")
    (zoo / "sources" / "toy.parquet").unlink()
    found = overlap(zoo, [SALT * (2, 1, 1), POLYMORPH, OTHER], card)
    assert found.estimated == ("toy.parquet is not there",)
    assert found.crystal.tolist() == [True, False, False]  # the polymorph is denser by an eighth
    assert found.formula.tolist() == [True, True, False]
    write_crystals(zoo / "sources" / "toy.parquet", {"rutile": RUTILE})
    found = overlap(zoo, [SALT, RUTILE], card)
    assert "lacks 1 of 2 crystals" in found.estimated[0]
    assert found.crystal.all()


def test_source_of_several_files(zoo):
    source = {"dataset": "toys", "file": "toy.parquet, more.parquet"}
    card = trained_expert(zoo / "zoo", "e", source=source)
    write_crystals(zoo / "sources" / "toy.parquet", {"salt": SALT})
    found = overlap(zoo, [SALT, strained(RUTILE)], card)
    assert found.estimated == ("more.parquet is not there",)
    write_crystals(zoo / "sources" / "more.parquet", {"rutile": RUTILE})
    found = overlap(zoo, [SALT, strained(RUTILE)], card)
    assert not found.estimated
    assert found.crystal.all()


def test_training_crystals_of_other_targets_are_refused(zoo):
    with pytest.raises(
        ValueError, match=r"toy\.training_crystals\.npz does not say which crystals e learned hardness from"
    ):
        overlap(zoo, [SALT], trained_expert(zoo / "zoo", "e", target="band_gap_pbe, hardness"))


def test_only_crystals_that_are_asked_for_are_read(zoo):
    (zoo / "sources" / "toy.csv").write_text("material_id,file\nsalt,salt.cif\nrutile,missing.cif\n")
    SALT.to(str(zoo / "sources" / "salt.cif"))
    (crystal,) = iter_crystals(zoo / "sources" / "toy.csv", only={"salt"})
    assert crystal.structure.composition == SALT.composition


# Command -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(zoo):
    """Data of one's own, predictions for them, and the arguments that audit them."""
    crystals = {"a": SALT * (2, 1, 1), "b": POLYMORPH, "c": OTHER, "d": rotated(RUTILE)}
    path = write_crystals(zoo / "own.parquet", crystals, gap=[5.0, 4.0, 3.0, 2.0])
    trained_expert(zoo / "zoo", "e")
    frame = pd.DataFrame({"material_id": ["d", "a", "b", "c"], "gap": [2.5, 6.0, 4.0, 1.0]})
    frame.to_csv(zoo / "predicted.csv", index=False)
    return [str(path), "--experts", str(zoo / "zoo"), "--sources", str(zoo / "sources")]


def test_errors_without_what_experts_have_seen(own, zoo, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    options = ["--target", "gap", "--predictions", str(zoo / "predicted.csv"), "--output"]
    assert main(["audit", *own, *options, str(zoo / "rows.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    seen = next(line for line in lines if line.startswith(" e "))
    assert seen.split() == ["e", *["2", "50%", "2", "50%", "3", "75%", "3", "75%", "1"]]  # errors of b and c: 0 and 2
    row = next(number for number, line in enumerate(lines) if line.startswith(" predicted.csv"))
    assert lines[row].split()[1:] == ["4", "2", "50%", "1", "25%", "1", "25%"]
    assert lines[row + 1].split() == ["MAE", "0.875", "1", "2", "2"]
    assert "By structure, experts were trained on 2 (50%) of these crystals" in " ".join(" ".join(lines).split())
    rows = pd.read_csv(zoo / "rows.csv", index_col="material_id")
    assert rows["leak_free"].tolist() == [False, True, True, False]
    assert rows["leak_free_by_formula"].tolist() == [False, False, True, False]
    assert rows["same_formula_with_label_by"].fillna("").tolist() == ["e", "e", "", "e"]
    assert rows["new_formula"].tolist() == [False, False, True, False]
    assert rows["absolute_error"].tolist() == [1.0, 0.0, 2.0, 0.5]
    assert rows["same_crystal_by"].fillna("").tolist() == ["e", "", "", "e"]
    assert main(["audit", *own, *options, str(zoo / "rows.json")]) == 0
    content = json.loads((zoo / "rows.json").read_text())
    assert (content["quantity"], content["crystals_counted"]) == ("band_gap", 4)
    assert [one["same_crystal"] for one in content["experts"]] == [2]
    assert [row["leak_free"] for row in content["crystals"]] == rows["leak_free"].tolist()


def test_what_potentials_may_know_is_said(own, zoo, capsys, monkeypatch):
    """Not counted and not left out: whose rows are not known, what they learned, and that it may be the label."""
    monkeypatch.setenv("COLUMNS", "110")
    package = {"package": "chgnet", "version": "0.4.2"}
    potential = {"weights": package, "encoder": "chgnet", "readout": {"layers": ["conv2"]}, "dim": 8, "source": "MPtrj"}
    unlisted = write_expert(zoo / "zoo", "potential", None, target="energy, forces", **potential)
    write_training_crystals(zoo / "zoo" / "net.training_crystals.npz", SOURCE)
    trained_expert(zoo / "zoo", "network", trunk=unlisted, training_crystals="net.training_crystals.npz")

    def audited(quantity: str) -> tuple[list[str], dict]:
        assert main(["audit", *own, "--quantity", quantity, "--output", str(zoo / "rows.json")]) == 0
        return capsys.readouterr().out.splitlines(), json.loads((zoo / "rows.json").read_text())

    def cells(lines: list[str], expert: str) -> list[str]:
        return next(line for line in lines if line.startswith(f" {expert} ")).split()

    lines, content = audited("formation_energy")
    assert cells(lines, "potential") == ["potential", "(1)", "?", "?", "?", "?"]
    assert cells(lines, "network") == ["network", "(1)", "2", "50%", "0", "+?", "3", "75%", "0", "+?"]
    assert cells(lines, "all rows") == ["all", "rows", "4", "≤", "4", "100%", "≤", "4", "100%", "1", "25%"]
    assert "    (1) MPtrj: energy, forces" in lines
    assert content["crystals"][0]["label_possibly_learned"]
    assert {one["experts"][0]: one["label_possibly_learned"] for one in content["experts"]} == {
        "e": False,
        "network": True,
        "potential": True,
    }
    assert content["experts"][-1]["not_known"] == {"MPtrj": ["energy", "forces"]}
    lines, content = audited("phonon_frequency")
    assert cells(lines, "potential") == ["potential", "(1)", "?", "0", "?", "0"]
    assert "related, and not counted: energy, forces was learned from (1)" in " ".join(lines)
    assert not content["crystals"][0]["label_possibly_learned"]


def test_test_rows_of_a_run_count(own, zoo, capsys):
    frame = pd.DataFrame({"material_id": list("abcd"), "part": ["train", "train", "test", "test"]})
    frame.assign(gap=[5.0, 4.0, 3.0, 2.0], gap_predicted=[9.0, 9.0, 4.0, 5.0]).to_parquet(zoo / "p.parquet")
    assert main(["audit", *own, "--target", "gap", "--predictions", str(zoo / "p.parquet")]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith(" p.parquet"))
    assert lines[row].split()[1:] == ["2", "1", "50%", "1", "50%", "1", "50%"]
    assert lines[row + 1].split() == ["MAE", "2", "1", "1", "1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Name its column by --target"),
        (["--target", "gapp"], "did you mean 'gap'"),
        (["--quantity", "bandgaps"], "Did you mean band_gap?"),
        (["--target", "gap", "--output", "x.txt"], "a .json or .csv file"),
        (["--target", "gap", "--predictions", "{zoo}/others.csv"], "does not have, or has twice: z"),
        (["--target", "gap", "--predictions", "{zoo}/columns.csv"], "needs material_id and gap_predicted"),
    ],
)
def test_mistakes_are_explained(own, zoo, capsys, options, said):
    (zoo / "others.csv").write_text("material_id,gap\na,1\nz,2\n")
    (zoo / "columns.csv").write_text("material_id,modulus\na,1\n")
    assert main(["audit", *own, *(option.format(zoo=zoo) for option in options)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_no_such_task_or_data(zoo, capsys, monkeypatch):
    monkeypatch.setenv("MOE_MAT_DATA", str(zoo))
    assert main(["audit", "mp_phonon"]) == 1
    assert "did you mean mp_phonons" in capsys.readouterr().err
    assert main(["audit", "mp_phonons"]) == 1
    assert "moe-mat data prepare" in capsys.readouterr().err


@needs_data
def test_poisson_ratios_of_the_benchmark_overlap_with_jarvis():
    data = Path(os.environ["MOE_MAT_DATA"])
    structures, _ = read_structures(data / "benchmark" / "mp_poisson_ratio.parquet")
    matches = match(structures[:60], find_cards("jarvis_poisson_ratio"), sources=data / "pretrain")
    (found,) = matches.overlaps("poisson_ratio")
    assert not found.estimated
    assert 0.1 < found.crystal_with_label.mean() <= found.crystal.mean() < found.formula.mean() < 0.7
