"""Compositions without structures: how formulas are read, what they share with crystals, and what they are refused."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from moe_mat import MoERegressor, load_expert, read_structures
from moe_mat.crystals import (
    CrystalError,
    UnsupportedCrystalError,
    as_formula,
    crystals_from_objects,
    formula_groups,
    formula_hash,
    same_crystals,
    structure_key,
)
from moe_mat.crystals.held_out import HeldOut
from moe_mat.mixture.given import given_experts
from moe_mat.zoo import CardError, embed, find_cards

SALT = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
OXIDES = [
    f"{metal}{oxide}" for metal in ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Ni", "Co") for oxide in ("O", "S", "Se", "Te")
]


@pytest.mark.parametrize(
    ("text", "reduced"),
    [
        ("Fe2O3", "Fe2O3"),
        ("Fe4O6", "Fe2O3"),
        ("NaCl2.5", "Na2Cl5"),
        ("Ca(OH)2", "Ca(HO)2"),
        ("Li[Ni0.5Mn0.5]O2", "Li2MnNiO4"),
        ("La0.33333Sr0.66667MnO3", "Sr2LaMn3O9"),
        ("D2O", "H2O"),
    ],
)
def test_formulas_are_read(text: str, reduced: str) -> None:
    assert as_formula(text).reduced_formula == reduced


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("Fe2O3 ", "take out the blank"),
        ("Fe₂O₃", "digits on the line"),
        ("CuSO4·5H2O", r"CuSO4\(H2O\)5"),
        ("CuSO4.5H2O", "ambiguous"),
        ("Fe3+2O3", "leave out charges"),
        ("Foo", "no formula"),
        ("Xx2O", "no element Xx"),
        ("TRUE", "no element E or R"),
        ("NaN", "no value"),
        ("(NaCl", "no formula"),
        ("NaCl)2(", "no formula"),
        ("2NaCl", "no formula"),
        ("NaCl1e3", "no formula"),
        ("NaCl1.2.3", "no formula"),
        ("Na0Cl", "amount of 0"),
        ("Na٣", "no formula"),
        ("Na" * 200, "no formula"),
        ("Al2Cr0.00001", "too small"),
        ("Fe0.12345Ni0.54321Co0.33334Mn0.98761", "no common measure"),
    ],
)
def test_what_is_no_formula_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        as_formula(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="NaClFeO0123456789.()[]{} ₂·+-eE", max_size=12))
def test_any_text_is_a_formula_or_a_value_error(text: str) -> None:
    try:
        formula = as_formula(text)
    except ValueError:
        return
    assert len(formula) > 0
    assert as_formula(formula.reduced_formula) == formula


def test_a_formula_stands_for_a_crystal_and_has_no_sites() -> None:
    formula = as_formula(Composition({"Fe3+": 4, "O2-": 6}))
    assert pickle.loads(pickle.dumps(formula)) == copy.deepcopy(formula) == as_formula("Fe2O3")
    assert formula != as_formula("FeO")
    assert (len(formula), str(formula), formula.chemical_system) == (5, "Formula(Fe2O3)", "Fe-O")
    assert formula_hash(as_formula("CsCl")) == formula_hash(SALT)
    assert structure_key(as_formula("CsCl")) != structure_key(SALT)
    for name in ("sites", "lattice", "volume", "cart_coords", "distance_matrix"):
        with pytest.raises(UnsupportedCrystalError, match="only the composition Fe2O3 is known"):
            getattr(formula, name)
    formulas = [as_formula(text) for text in ("NaCl2.5", "NaCl", "Na2Cl5")]
    assert same_crystals(formulas).tolist() == [0, 1, 0]
    assert formula_groups(formulas).tolist() == ["Na2Cl5", "NaCl", "Na2Cl5"]
    assert formulas[1] in HeldOut([as_formula("NaCl")], any_volume=True)


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"formula": ["NaCl", "Fe2O3", "Foo", None, "NaCl"], "gap": [8.5, 2.2, 1.0, 1.0, 8.4]})


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "json", "parquet", "DataFrame", "Composition"])
def test_every_table_may_have_formulas(kind: str, table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / f"gaps.{kind}"
    if kind.startswith("csv"):
        table.to_csv(path, index=False)
    elif kind == "json":
        table.to_json(path, orient="records")
    elif kind == "parquet":
        table.to_parquet(path)
    elif kind == "Composition":
        table["formula"] = [Composition("NaCl"), Composition("Fe2O3"), "Foo", None, Composition("NaCl")]
    source = path if path.exists() else table
    structures, read = read_structures(source, targets=["gap"], on_error="skip")
    assert structures == [as_formula(text) for text in ("NaCl", "Fe2O3", "NaCl")]
    assert read["material_id"].tolist() == ["0", "1", "4"]
    assert read["gap"].tolist() == [8.5, 2.2, 8.4]
    reasons = [one["reason"] for one in read.attrs["left_out"]]
    assert reasons == [
        "'Foo' is no formula: it is read as symbols, amounts and brackets, as in Ca(OH)2",
        "the formula is missing",
    ]


def test_a_formula_alone_is_read_where_no_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (crystal,), table = read_structures("Ca(OH)2")
    assert (crystal.reduced_formula, table["material_id"].tolist()) == ("Ca(HO)2", ["Ca(OH)2"])
    with pytest.raises(FileNotFoundError, match="no file or folder Caoh2"):
        read_structures("Caoh2")
    (tmp_path / "NaCl").mkdir()
    with pytest.raises(ValueError, match="NaCl"):
        read_structures("NaCl")


def test_a_csv_of_lost_files_is_no_table_of_formulas(tmp_path: Path) -> None:
    pd.DataFrame({"file": ["a.cif"], "formula": ["NaCl"], "y": [1.0]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"no column of .* names structure files"):
        read_structures(tmp_path / "t.csv")
    structures, _ = read_structures(tmp_path / "t.csv", structure_column="formula")
    assert structures == [as_formula("NaCl")]
    pd.DataFrame({"formula": ["Foo"]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(CrystalError, match=r"line 2.*'Foo' is no formula"):
        read_structures(tmp_path / "t.csv")


def test_crystals_with_and_without_sites_are_not_mixed(tmp_path: Path) -> None:
    for mixed in (["NaCl", SALT], [SALT, Composition("NaCl")]):
        for on_error in ("raise", "skip"):
            with pytest.raises(CrystalError, match=r"number 1.*with and without sites are not mixed"):
                crystals_from_objects(mixed, on_error=on_error)
    SALT.to_file(str(tmp_path / "salt.cif"))
    rows = pd.DataFrame({"file": ["salt.cif", None], "formula": ["CsCl", "NaCl"], "y": [1.0, 2.0]})
    rows.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(CrystalError, match=r"line 3.*with and without structures are not mixed.*structure_column"):
        read_structures(tmp_path / "t.csv")


def test_experts_of_formulas_embed_them_as_the_crystals() -> None:
    cards = find_cards("composition")
    formula, crystal = embed(cards, [as_formula("CsCl")] * 2), embed(cards, [SALT, SALT * (2, 1, 1)])
    for tag, values in crystal.values.items():
        np.testing.assert_allclose(formula.values[tag], values, atol=1e-6)
    with pytest.raises(UnsupportedCrystalError, match="number 0: only the composition CsCl is known"):
        load_expert("structure_features").embed([as_formula("CsCl")])
    with pytest.raises(
        CardError, match=r"chgnet, mp_band_gap cannot embed a formula such as CsCl.*experts: composition"
    ):
        embed(find_cards(["chgnet", "magpie", "mp_band_gap"]), [as_formula("CsCl")])
    refused = embed(find_cards("magpie"), [as_formula("OgCl")]).refused
    assert "element Og of " in refused[0]


def test_the_regressor_takes_formulas() -> None:
    y = np.arange(len(OXIDES), dtype=float)
    model = MoERegressor(["magpie", "ionic"], n_members=1, max_epochs=3, random_state=0).fit(OXIDES, y)
    mean, lower, upper = model.predict([Composition("MgO"), Composition("HgTe")], interval=0.9)
    assert (lower < mean).all()
    assert (mean < upper).all()
    # What has a structure has a composition.
    crystal = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
    np.testing.assert_allclose(model.predict([crystal]), mean[:1], atol=1e-3)
    frame = pd.DataFrame({"composition": OXIDES[:3]})
    np.testing.assert_array_equal(model.predict(frame), model.predict(OXIDES[:3]))
    with pytest.raises(CardError, match="chgnet cannot embed a formula such as MgO"):
        MoERegressor(["magpie", "chgnet"]).fit(OXIDES, y)


def test_a_tier_means_the_experts_of_formulas() -> None:
    formulas = [as_formula(text) for text in OXIDES]
    assert given_experts("default", formulas, "refuse") == find_cards("composition")
    assert given_experts(["light", "ionic"], formulas, "refuse") == find_cards("composition")
    assert given_experts("default", [SALT], "refuse") == find_cards("default")
    assert [card.tag for card in given_experts(["magpie"], formulas, "drop_expert")] == ["magpie"]
