"""Classes on the command line: found, fitted, tested and predicted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moe_mat import MoEClassifier, read_structures
from moe_mat.cli.main import main
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.crystals.target_values import in_order

FIT = ["--model.experts=magpie", "--trainer.max_epochs=3", "--data.path=crystals"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    structures, table = load_quickstart()
    (tmp_path / "crystals").mkdir()
    for structure, name in zip(structures, table["material_id"], strict=True):
        structure.to(filename=str(tmp_path / "crystals" / f"{name}.cif"))
    kinds = np.array(["soft", "medium", "hard"])[np.digitize(table["bulk_modulus"], [40, 120])]
    written = pd.DataFrame({"file": table["material_id"], "modulus": table["bulk_modulus"], "kind": kinds})
    written["hard"], written["level"] = kinds == "hard", np.digitize(table["bulk_modulus"], [40, 120])
    written.to_csv(tmp_path / "crystals" / "targets.csv", index=False)
    return tmp_path


def test_a_class_is_fitted_tested_and_predicted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data.target=kind", "--seed_everything=7", *FIT]) == 0
    assert "balanced" in capsys.readouterr().out
    run = folder / "runs" / "crystals" / "version_0"
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    (test,) = (row for row in metrics if row["part"] == "test")
    assert test["log_loss"] < test["prior_log_loss"]
    assert {"roc_auc", "balanced_accuracy", "brier", "calibration_error"} <= test.keys()
    assert (run / "reliability.png").stat().st_size > 1000
    assert (run / "confusion.png").exists()
    assert not (run / "parity.png").exists()

    checkpoint = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", checkpoint, "--data.path=crystals"]) == 0
    again = json.loads((folder / "runs" / "crystals_test" / "version_0" / "metrics.json").read_text())["metrics"]
    assert again == [test]
    assert main(["predict", "crystals", "--ckpt_path", checkpoint]) == 0
    predicted = pd.read_csv("predictions.csv").set_index("material_id")
    probabilities = predicted[["kind_p_hard", "kind_p_medium", "kind_p_soft"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.idxmax(axis=1) == "kind_p_" + predicted["kind_predicted"]).all()
    assert main(["predict", "crystals", "--ckpt_path", checkpoint, "--output=predictions.parquet"]) == 0
    assert pd.read_parquet("predictions.parquet")["kind_predicted"].tolist() == predicted["kind_predicted"].tolist()

    # The estimator takes the same road.
    written = pd.read_csv(run / "predictions.csv").set_index("material_id")
    structures, table = read_structures("crystals", targets=["kind"], kind="class")
    crystals = dict(zip(table["material_id"], structures, strict=True))
    parts = {part: of.index.tolist() for part, of in written.groupby("part")}
    train, val, test_rows = ([crystals[name] for name in parts[part]] for part in ("train", "val", "test"))
    model = MoEClassifier("magpie", n_members=1, max_epochs=3, random_state=7)
    model.fit(train, written.loc[parts["train"], "kind"], validation=(val, written.loc[parts["val"], "kind"]))
    expected = written.loc[parts["test"], "kind_p_hard"]
    np.testing.assert_allclose(model.predict_proba(test_rows)[:, 0], expected, atol=1e-4)


def test_mistakes_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data.target=[kind,modulus]", *FIT]) != 0
    assert "a class is predicted alone" in capsys.readouterr().err
    table = pd.read_csv("crystals/targets.csv").assign(one="a")
    table.to_csv("crystals/targets.csv", index=False)
    assert main(["fit", "--data.target=one", *FIT]) != 0
    assert "all crystals are of the one 'a'" in capsys.readouterr().err
    assert main(["fit", "--data.target=kind", "--data.kind=number", *FIT]) != 0
    assert "is not a number" in capsys.readouterr().err


def test_text_and_booleans_are_classes_and_integers_numbers(folder: Path) -> None:
    for target, expected in (("kind", "medium"), ("hard", "False"), ("level", 1.0)):
        _, table = read_structures("crystals", targets=[target], kind="auto")
        assert expected in table[target].tolist()
    _, table = read_structures("crystals", targets=["level"], kind="class")
    assert in_order(table["level"]) == ["0", "1", "2"]
    frame = pd.DataFrame({"structure": load_quickstart()[0][:3], "metal": [True, False, None]})
    _, table = read_structures(frame, targets=["metal"], kind="auto", on_error="skip")
    assert table["metal"].tolist() == ["True", "False"]
