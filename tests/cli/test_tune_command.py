"""``moe-mat tune``: the given settings first, the same folds for all, and test rows that nothing has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from cli.own_runs import N_CRYSTALS, Run, metrics, run_folder, small
from moe_mat.mixture.fold_training import FoldTraining

FOLDER = Path("tuned")
SEARCH = ["--folds", 2, "--search.n_gates", "[1, 3]"]


def found(folder: Path = FOLDER) -> dict[str, Any]:
    return json.loads((folder / "tuning.json").read_text())


def test_the_best_or_the_defaults_are_a_configuration_of_fit(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["tune", *small(), *own, "--data.unit", "GPa", *SEARCH]
    assert run(*command, "--trials", 2) == 0
    shown = " ".join(capsys.readouterr().out.split())
    said, table = found(), pd.read_csv(FOLDER / "trials.csv")
    assert set(table["trial"]) == {0, 1}
    assert table.set_index("trial")["changes"][0] == "the defaults"
    np.testing.assert_allclose(table["score"], table[["fold_0", "fold_1"]].mean(1))
    assert said["verdict"] in shown
    for words in ("MAE (GPa)", "the defaults", "optimism" if said["best_trial"] else "", "test rows that stay unseen"):
        assert words in shown

    # What was trained is kept; a new trial has the folds of the others.
    trained: list[Any] = []
    train = FoldTraining.__call__
    monkeypatch.setattr(FoldTraining, "__call__", lambda self, fold: trained.append(fold) or train(self, fold))
    assert run(*command, "--trials", 2) == 0
    assert not trained
    assert run(*command, "--trials", 3) == 0
    assert len(trained) <= 2
    assert sorted(one["trial"] for one in found()["trials"]) == [0, 1, 2]
    assert [one for one in found()["trials"] if one["trial"] == 0] == [
        one for one in said["trials"] if one["trial"] == 0
    ]

    # The test rows are those of fit, and no fold has one.
    split, *folds = json.loads((FOLDER / "splits.json").read_text()).values()
    learned = {*split["train"], *split["val"]}
    assert len(learned) + len(split["test"]) == N_CRYSTALS
    for fold in folds:
        assert {*fold["train"], *fold["val"], *fold["test"]} == learned
    config = yaml.safe_load((FOLDER / "best.yaml").read_text())
    assert config["model"]["experts"] == "magpie"
    assert run("fit", "--config", FOLDER / "best.yaml") == 0
    rows = pd.read_csv(run_folder() / "predictions.csv").query("part == 'test'")
    assert set(rows["material_id"]) == set(split["test"])
    assert metrics(run_folder())["test"]["n"] == len(split["test"])

    # Whatever the test rows say, the search says the same.
    other = pd.read_parquet(own[1])
    other.loc[other["name"].isin(split["test"]), "bulk_modulus"] *= -100
    other.to_parquet("other.parquet")
    assert run("tune", *small(), "other.parquet", *own[2:], *SEARCH, "--trials", 2, "--output", "other") == 0
    assert found(Path("other"))["trials"] == [
        {**one, "seconds": other["seconds"]}
        for one, other in zip(said["trials"], found(Path("other"))["trials"], strict=True)
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--search.heads", "[mlp]"], "search names heads"),
        (["--search.head", "mlp"], 'Parser key "search"'),
        (["--search.n_gates", "[two]"], "n_gates"),
        (["--minutes", "0"], "--minutes is 0.0: more than 0 are needed"),
        (["--trials", "0"], "--trials is 0"),
        (["--model.trainable", "all"], "leave out --model.trainable"),
        (["--run_dir", "here"], "tune writes to the folder --output"),
        (["--folds", "18"], "17 crystals cannot be divided into 18 folds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str], problem: str, run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tune", *small(), *own, *arguments) in (1, 2)
    assert problem in capsys.readouterr().err.splitlines()[-1]
    assert not FOLDER.exists()


def test_experts_are_compared_and_those_that_cannot_be_are_named(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    experts = "[[magpie, packing], no_such_expert]"
    assert run("tune", *small(), *own, "--folds", 2, "--search.experts", experts) == 0
    said = {one["trial"]: one for one in found()["trials"]}
    assert said[1]["changes"] == {"experts": "[magpie, packing]"}
    assert said[1]["state"] == "complete"
    assert said[1]["score"] != said[0]["score"]
    assert said[2]["state"] == "failed"
    shown = capsys.readouterr().out
    assert "trial 2 was left out: no expert 'no_such_expert'" in shown
    assert "experts [magpie," in shown
    assert run("tune", *small(), *own, "--folds", 2) == 1
    assert "tuned holds another search (search was " in capsys.readouterr().err
