"""What is said of mistakes: one clear line, and of bad crystals which and why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from cli.own_runs import N_CRYSTALS, Run, checkpoint, small, write_csv


@pytest.mark.parametrize("command", ["fit", "predict", "embed"])
def test_a_bad_crystal_stops_or_is_listed(
    command: str, run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path / "bad")
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    mixed.to(filename=str(path.parent / "cif" / "Na.cif"))
    if command == "predict":
        assert run("fit", *small(), *own) == 0
        arguments = ["predict", "--ckpt_path", checkpoint(), "--data.path", path]
    elif command == "fit":
        arguments = ["fit", *small(), "--data.path", path, "--data.target", "bulk_modulus"]
    else:
        arguments = ["embed", path, "--experts", "magpie"]
    option = "--on_error" if command == "embed" else "--data.on_error"
    capsys.readouterr()
    assert run(*arguments) == 1
    problem = capsys.readouterr().err.splitlines()[-1]
    assert "crystal 'Na'" in problem
    assert "disordered" in problem
    assert not Path("predictions.csv").exists()
    assert not Path("embeddings.parquet").exists()

    assert run(*arguments, option, "skip") == 0
    shown = capsys.readouterr().out
    assert "Na" in shown
    assert "disordered" in shown
    if command == "fit":
        (version,) = (path.parent for path in Path("runs").glob("own/*/left_out.csv"))
        (row,) = pd.read_csv(version / "left_out.csv").to_dict("records")
        assert row["material_id"] == "Na"
        assert "disordered" in row["reason"]
        assert len(pd.read_csv(version / "predictions.csv")) == N_CRYSTALS - 1
    elif command == "predict":
        assert len(pd.read_csv("predictions.csv")) == N_CRYSTALS - 1


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["fti"], 1, "did you mean 'fit'"),
        (["fit", "--data.path", "missing.csv", "--data.target", "y"], 1, "no file or folder missing.csv"),
        (["fit", "OWN", "--data.target", "bulk_modulos"], 1, "no column 'bulk_modulos': did you mean 'bulk_modulus'"),
        (["fit", "OWN", "--data.target", "name"], 1, "is not a number"),
        (["fit", "OWN"], 1, "name its column with --data.target"),
        (["fit", "OWN", "--data.dataset", "dcdft"], 1, "choose one"),
        (["fit", "--data.dataset", "no_such_set", "--data.target", "y"], 1, "no matminer data set 'no_such_set'"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--model.experts", "magpi"], 1, "Did you mean magpie"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--model.n_gates", "0"], 1, "n_gates is 0"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--data.fractions", "[0.5,0.1,0.1]"], 1, "sum to 1"),
        (["fit", "--model.hed", "mlp"], 2, "--model.hed"),
        (["fit", "--model.head", "tree"], 1, "unknown head 'tree'; known: inducing, kernel, mlp"),
        (["fit", "--config", "missing.yaml"], 2, "missing.yaml"),
        (["fit", "--config", "UNKNOWN_KEY"], 2, "hiden"),
        (["fit", "--config", "NO_YAML"], 2, "config"),
        (["test"], 1, "--ckpt_path"),
        (["predict", "--ckpt_path", "missing.ckpt", "OWN"], 1, "missing.ckpt"),
        (["predict", "--data.path", "x"], 1, "--ckpt_path"),
        (["embed", "missing.csv"], 1, "no file or folder missing.csv"),
        (["experts", "show", "magpi"], 1, "Did you mean magpie"),
        (["experts", "import", "missing.pth.tar", "--folder", "zoo"], 1, "no file missing.pth.tar"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str],
    status: int,
    problem: str,
    run: Run,
    own: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "unknown.yaml").write_text("model: {hiden: [3]}")
    (tmp_path / "no.yaml").write_text("model: [")
    words = {
        "OWN": [f"--data.path={own[1]}", "--data.id_column=name"],
        "UNKNOWN_KEY": [str(tmp_path / "unknown.yaml")],
        "NO_YAML": [str(tmp_path / "no.yaml")],
    }
    assert run(*(part for word in arguments for part in words.get(word, [word]))) == status
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"moe-mat {arguments[0]}: ")
    assert problem in line
    assert not Path("runs").exists() or not list(Path("runs").rglob("best.ckpt"))
