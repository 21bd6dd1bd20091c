"""Units, names and run folders: what a run is called, where it goes, and in which unit it speaks."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.axes import Axes

from cli.own_runs import Run, checkpoint, crystals, small


def test_a_unit_is_in_tables_plots_and_predictions(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    set_axes = Axes.set
    monkeypatch.setattr(Axes, "set", lambda self, **of: labels.append(of.get("xlabel", "")) or set_axes(self, **of))
    named = ["--data.name", "mine", "--run_dir", "here/it"]
    assert run("fit", *small(), *own, "--data.unit", "GPa", *named) == 0
    shown = capsys.readouterr().out
    folder = Path("here/it")
    assert "mine: 14 train" in shown
    assert " GPa " in shown
    assert "true bulk_modulus (GPa)" in labels
    assert json.loads((folder / "metrics.json").read_text())["units"] == {"bulk_modulus": "GPa"}
    assert set(pd.read_csv(folder / "predictions.csv")["bulk_modulus_unit"]) == {"GPa"}
    assert not Path("runs").exists()

    # The model knows it, and says it of a single crystal.
    crystals()[0][3].to(filename="it.cif")
    best = folder / "checkpoints" / "best.ckpt"
    assert run("predict", "it.cif", "--ckpt_path", best, "--output", "it.parquet", "--level", 0.8) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("it: "))
    written = pq.read_table("it.parquet").to_pylist()[0]
    value, lower, upper = (written[f"bulk_modulus_{kind}"] for kind in ("predicted", "lower", "upper"))
    assert line.startswith(f"it: bulk_modulus {value:#.4g} GPa, 80 % interval {lower:#.4g} to {upper:#.4g} GPa")
    assert line.endswith(", a crystal that the model has learned from") == written["in_sample"]
    assert written["bulk_modulus_unit"] == "GPa"

    # The configuration of a run goes on with it, and leaves its folder alone.
    for again in (["--run_dir", folder], ["--run_dir", "other", "--trainer.logger", "CSVLogger"]):
        assert run("fit", *small(), *own, *again) == 1
        assert "run_dir" in capsys.readouterr().err
    assert run("test", "--config", folder / "config.yaml", "--ckpt_path", best) == 0
    assert Path("runs/mine_test/version_0/metrics.json").is_file()


def test_a_unit_is_found_in_the_name_of_the_column(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_parquet(own[1]).rename(columns={"bulk_modulus": "K (GPa)"}).to_parquet("own.parquet")
    data = ["own.parquet", "--target", "K (GPa)", "--id_column", "name"]
    assert run("fit", *small(), *data) == 0
    assert run("predict", "own.parquet", "--ckpt_path", checkpoint(), "--id_column", "name") == 0
    assert set(pd.read_csv("predictions.csv")["K (GPa)_unit"]) == {"GPa"}
    assert "interval" not in capsys.readouterr().out.splitlines()[-1]  # of many crystals, the file has the answers
    assert run("crossval", *small(), *data, "--folds", 2) == 0
    assert "MAE (GPa)" in capsys.readouterr().out
    assert run("fit", *small(), *data, "--data.unit", "[GPa,eV]") == 1
    assert "data.unit has 2 units for 1 targets" in capsys.readouterr().err
