"""Explanations from the shell: on the screen, as JSON, in files, and of a checkpoint of an older version."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.class_runs import ClassRun
from cli.own_runs import N_CRYSTALS, Run, checkpoint, small
from moe_mat.mixture.checkpoints import DIGEST, LEARNED, RunCheckpoints, read_run_checkpoint


def test_a_prediction_is_explained(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("fit", *small(), *own) == 0
    capsys.readouterr()
    options = ["--ckpt_path", checkpoint(), "--id_column", "name", "--sources", tmp_path]
    assert run("explain", own[1], *options, "--neighbours", 2) == 0
    out = capsys.readouterr().out
    for said in (
        "nearest training crystals",
        "domain: inside",
        f"and {N_CRYSTALS - 3} other crystals",
        "note: no expert",
    ):
        assert said in out
    assert run("explain", own[1], *options, "--output", "told.json") == 0
    told = json.loads(Path("told.json").read_text(encoding="utf-8"))
    assert len(told["crystals"]) == N_CRYSTALS
    known = {one["material_id"] for one in told["crystals"] if one["in_sample"]}
    assert {one["neighbour"] for crystal in told["crystals"] for one in crystal["neighbours"]} <= known
    capsys.readouterr()

    content = read_run_checkpoint(checkpoint())
    older = {name: value for name, value in content.items() if name not in (LEARNED, DIGEST)}
    RunCheckpoints().save_checkpoint(older, "older.ckpt")
    assert run("explain", own[1], *options[2:], "--ckpt_path", "older.ckpt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "did not note what its training crystals are called" in told["notes"][0]
    assert told["crystals"][0]["neighbours"][0]["neighbour"].startswith("number ")

    assert run("explain", own[1], *options, "--output", "told.txt") == 1
    assert "a .json, .csv or .parquet file is written" in capsys.readouterr().err


def test_a_class_is_explained(run: Run, class_run: ClassRun, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--ckpt_path", class_run.checkpoint, class_run.data, "--neighbours", 2]
    assert run("explain", *options, "--output", "told.csv") == 0
    out = capsys.readouterr().out
    assert "kind: soft, with a probability of" in out
    told, neighbours = pd.read_csv("told.csv"), pd.read_csv("told_neighbours.csv")
    written = class_run.run.report.predictions.set_index("material_id")
    test = told[~told["in_sample"]].set_index("material_id")
    assert len(test)
    assert test["kind_predicted"].tolist() == written.loc[test.index, "kind_predicted"].tolist()
    known = pd.read_json(class_run.data).set_index("material_id")["kind"]
    assert neighbours["value"].tolist() == known[neighbours["neighbour"]].tolist()
