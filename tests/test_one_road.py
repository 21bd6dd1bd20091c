"""Command line and estimator train by one road: the same rows, seed and settings give the same predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from moe_mat import MoERegressor
from moe_mat.cli.main import main
from moe_mat.crystals.datasets import load_quickstart


@pytest.mark.parametrize(("head", "refit"), [("kernel", True), ("kernel", False), ("mlp", True)])
def test_the_command_line_predicts_what_the_estimator_does(
    head: str, refit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "cache"))
    structures, table = load_quickstart()
    values, rows = table["bulk_modulus"].to_numpy(), np.random.default_rng(1).permutation(len(table))
    parts = {"train": rows[:36], "val": rows[36:46], "test": rows[46:]}
    names = table["material_id"].to_numpy()
    split = {part: names[of_part].tolist() for part, of_part in parts.items()}
    (tmp_path / "splits.json").write_text(json.dumps({"0": split}))
    options = ["--model.experts=[magpie,structure_features]", f"--model.head={head}", "--data.splits=splits.json"]
    options += [] if refit else ["--refit=false"]
    assert main(["fit", "--seed_everything=7", "--trainer.max_epochs=12", *options]) == 0
    written = pd.read_csv(tmp_path / "runs" / "dcdft" / "version_0" / "predictions.csv").set_index("material_id")

    settings: dict[str, Any] = {"n_members": 1, "max_epochs": 12, "refit": refit, "random_state": 7}
    model = MoERegressor(["magpie", "structure_features"], head=head, **settings)
    train, val, test = ([structures[row] for row in parts[part]] for part in ("train", "val", "test"))
    model.fit(train, values[parts["train"]], validation=(val, values[parts["val"]]))
    expected = written.loc[names[parts["test"]], "bulk_modulus_predicted"]
    np.testing.assert_allclose(model.predict(test), expected, rtol=1e-5)
    if head == "kernel":
        std = model.predict(test, return_std=True)[1]
        np.testing.assert_allclose(std, written.loc[names[parts["test"]], "bulk_modulus_std"], rtol=1e-4)


@pytest.mark.parametrize("refit", [True, False])
def test_without_refit_nothing_is_fitted_on_validation_rows(
    refit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "cache"))
    structures, table = load_quickstart()
    values = table["bulk_modulus"].to_numpy()
    predicted = []
    for labels in (values, np.random.default_rng(0).permutation(values) + 500):
        # There is one epoch to choose.
        model = MoERegressor("magpie", n_members=1, max_epochs=1, refit=refit, random_state=0)
        model.fit(structures[:30], values[:30], validation=(structures[30:44], labels[30:44]))
        predicted.append(model.predict(structures[44:]))
        assert model.members_[0].outcome is not None
        assert model.members_[0].outcome.parts == (("train", "val") if refit else ("train",))
    assert np.array_equal(*predicted) is not refit


def test_the_configuration_of_a_run_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "cache"))
    stopping = ["--early_stopping.patience=10", "--early_stopping.min_delta=5"]
    assert main(["fit", "--model.experts=magpie", *stopping]) == 0
    runs = [tmp_path / "runs" / "dcdft" / f"version_{number}" for number in (0, 1)]
    assert main(["fit", "--config", str(runs[0] / "config.yaml")]) == 0
    settings, predictions = (
        [(run / name).read_text(encoding="utf-8") for run in runs] for name in ("config.yaml", "predictions.csv")
    )
    assert settings[0] == settings[1]
    assert "patience: 10\n" in settings[0]
    assert predictions[0] == predictions[1]
    # The kernel head is validated every fifth epoch: ten epochs without a better error are two validations.
    validated = pd.read_csv(runs[0] / "metrics.csv").dropna(subset="val_mae")["epoch"]
    assert len(validated) >= 3
    assert validated.max() < 59
