"""``moe-mat experts``: list, show, verify, import."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from toy_experts import cgcnn_expert

from cli.own_runs import Run
from moe_mat import load_expert, read_structures


def test_experts_are_listed_shown_and_verified(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "zoo"
    card = cgcnn_expert(folder, "toy")
    assert run("experts", "list", "--folder", folder) == 0
    assert "toy" in capsys.readouterr().out
    assert run("experts", "show", folder) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(card.path.read_text())
    assert run("experts", "verify", folder) == 0
    assert capsys.readouterr().out.split() == ["ok", "toy"]
    assert card.weights_file is not None
    card.weights_file.write_bytes(card.weights_file.read_bytes()[:-8])
    assert run("experts", "verify", folder, "magpie") == 1
    shown = capsys.readouterr()
    assert "FAILED  toy" in shown.out
    assert "ok      magpie" in shown.out
    assert "1 experts failed: toy" in shown.err


def test_vectors_of_elsewhere_become_an_expert(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """From a table to a prediction and an audit, with one crystal that has no vector."""
    crystals = own[1]
    structures, table = read_structures(crystals, id_column="name")
    vectors = pd.DataFrame({"name": table["name"], "mine": list(load_expert("magpie").embed(structures))})
    pd.concat([vectors[:-1], vectors[:1].assign(name="nobody")]).to_parquet("vectors.parquet")
    importing = ["experts", "import", "vectors.parquet", "--folder", "zoo", "--vector-column", "mine"]
    assert run(*importing) == 1
    assert "Give --id-column; there are name, mine" in capsys.readouterr().err
    importing += ["--id-column", "name", "--structures", crystals]
    assert run(*importing, "--tag", "mine", "--source", "some crystals") == 0
    shown = capsys.readouterr().out
    assert "19 crystals with vectors of 132 numbers; 0 left out" in shown
    assert "1 vectors without a crystal: nobody" in shown
    assert f"1 crystals without a vector: {table['name'].iloc[-1]}" in shown
    assert run("experts", "verify", "zoo") == 0
    assert "ok      mine (loaded; it does not know rocksalt)" in capsys.readouterr().out
    assert run("fit", *own, "--model.experts", "zoo", "--trainer.max_epochs", 1) == 1
    named = f"crystal '{table['name'].iloc[-1]}': expert mine: its table of 19 crystals has none of the formula"
    assert named in capsys.readouterr().err
    assert run("embed", crystals, "--id-column", "name", "--experts", "zoo", "--on-error", "skip") == 0
    assert "19 crystals by 1 experts" in capsys.readouterr().out
    assert run("audit", crystals, "--id-column", "name", "--target", "bulk_modulus", "--experts", "zoo") == 0
    assert "(1) some crystals" in capsys.readouterr().out


def test_options_of_tables_are_for_tables(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    importing = ["experts", "import", "--folder", "zoo", card.weights_file]
    assert run(*importing, "--vector-column", "v") == 1
    assert "toy.safetensors is no table" in capsys.readouterr().err
    assert run(*importing, card.weights_file, "--tag", "one") == 1
    assert "--tag one is for one file, and 2 are given" in capsys.readouterr().err
    assert run(*importing, "--tag", "one", "--source", "mine") == 0
    assert yaml.safe_load(Path("zoo/one.yaml").read_text())["source"] == "mine"
