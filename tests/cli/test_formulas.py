"""The commands on a table of formulas: the same as on crystals, with experts that need no structure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from cli.own_runs import Run, checkpoint, run_folder, small

METALS, OTHERS = ("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Ni"), ("O", "S", "Se", "Te")


@pytest.fixture
def gaps(tmp_path: Path) -> Path:
    """A table of 28 formulas, and one that is none."""
    formulas = [f"{metal}{other}" for metal in METALS for other in OTHERS] + ["Foo"]
    path = tmp_path / "gaps.csv"
    pd.DataFrame({"formula": formulas, "gap": [0.1 * number for number in range(len(formulas))]}).to_csv(
        path, index=False
    )
    return path


def test_fit_test_predict_and_embed(run: Run, gaps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data.path", gaps, "--data.target", "gap", "--data.on_error", "skip"]
    # A tier means the experts of formulas.
    assert run("fit", *data, *small(**{"model.experts": "light"})) == 0
    folder = run_folder("gaps")
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"]["experts"] == ["composition"]
    assert "'Foo' is no formula" in (folder / "left_out.csv").read_text()
    assert run("test", "--ckpt_path", checkpoint("gaps"), *data) == 0
    new = gaps.with_name("new.csv")
    pd.DataFrame({"formula": ["MgO", "ZnTe"]}).to_csv(new, index=False)
    assert run("predict", "--ckpt_path", checkpoint("gaps"), new, "--output", "new_gaps.csv") == 0
    assert len(pd.read_csv("new_gaps.csv")) == 2
    assert run("embed", new, "--output", "vectors.parquet") == 0
    assert {"magpie", "ionic"} < {*pq.read_schema("vectors.parquet").names}
    capsys.readouterr()
    assert run("fit", *data, *small(**{"model.experts": "[magpie,symmetry]"})) == 1
    assert "symmetry cannot embed a formula such as MgO" in capsys.readouterr().err


def test_crossval_keeps_formulas_together_and_audit_knows_them(
    run: Run, gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--target", "gap", "--on_error", "skip"]
    assert run("crossval", gaps, *data, "--folds", "2", "--group", "chemical_system", *small()) == 0
    sources = tmp_path / "nowhere"
    assert run("audit", gaps, *data, "--quantity", "band_gap", "--sources", sources, "--output", "seen.csv") == 0
    seen = pd.read_csv("seen.csv")
    assert len(seen) == 28
    # Of a formula, the formula is all there is to be known again.
    assert (seen["same_crystal"] == seen["same_formula"]).all()
