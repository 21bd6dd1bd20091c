"""``moe-mat predict``: rows in their order, and checkpoints that are refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from toy_experts import cgcnn_expert

from cli.own_runs import Run, checkpoint, run_folder, small


def test_predict_streams_many_rows_in_their_order(run: Run, own: list[str], tmp_path: Path) -> None:
    assert run("fit", *small(), *own) == 0
    table = pd.read_parquet(own[1])
    many = pd.concat([table] * 40, ignore_index=True).sample(frac=1, random_state=0, ignore_index=True)
    many = many.assign(original=many["name"], name=[f"row {number}" for number in range(len(many))])
    many.drop(columns="bulk_modulus").to_parquet(tmp_path / "many.parquet")
    arguments = ["--ckpt_path", checkpoint(), "--data.path", tmp_path / "many.parquet", "--data.id_column", "name"]
    Path("config.yaml").write_text("mine")
    assert run("predict", *arguments, "--output", "out/many.csv", "--level", "0.5") == 0
    rows = pd.read_csv("out/many.csv")
    assert list(rows["material_id"]) == list(many["name"])
    told = pd.read_csv(run_folder() / "predictions.csv")
    told = told[told["part"] == "test"].set_index("material_id")["bulk_modulus_predicted"]
    of_original = rows["bulk_modulus_predicted"].groupby(many["original"]).agg(["min", "max"]).loc[told.index]
    np.testing.assert_allclose(of_original["min"], told, rtol=1e-4)
    np.testing.assert_allclose(of_original["max"], told, rtol=1e-4)
    assert (rows["bulk_modulus_std"] > 0).all()
    assert (rows["bulk_modulus_lower"] <= rows["bulk_modulus_predicted"]).all()
    # At 50 %, an interval reaches less far than one standard deviation.
    assert (rows["bulk_modulus_upper"] - rows["bulk_modulus_predicted"] <= rows["bulk_modulus_std"] + 1e-6).all()
    assert rows["bulk_modulus_percentile"].between(0, 100).all()
    assert rows["bulk_modulus_outside"].dtype == bool
    assert sorted(path.name for path in Path().iterdir()) == ["config.yaml", "out", "runs"]
    assert Path("config.yaml").read_text() == "mine"


def test_a_level_that_is_none_is_refused(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", *small(), *own, "--level", "90") != 0
    assert "between 0 and 1, such as 0.9" in capsys.readouterr().err


class Payload:
    """A pickle that runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def hostile_checkpoint(kind: str, good: Path, marker: Path) -> bytes:
    if kind == "pickle":
        return pickle.dumps(Payload(marker))
    if kind == "payload beside the weights":
        content = torch.load(good, weights_only=True)
        torch.save(content | {"callbacks": {"payload": Payload(marker)}}, good)
        return good.read_bytes()
    if kind == "truncated":
        return good.read_bytes()[:-4000]
    if kind == "web page":
        return b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, good)
    return good.read_bytes()


@pytest.mark.parametrize(
    "kind", ["pickle", "payload beside the weights", "truncated", "web page", "somebody else's model"]
)
def test_hostile_checkpoints_are_refused(
    kind: str, run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", *small(), *own) == 0
    marker, file = tmp_path / "the payload ran", tmp_path / "got.ckpt"
    file.write_bytes(hostile_checkpoint(kind, checkpoint(), marker))
    capsys.readouterr()
    for command in (["predict", *own[:2]], ["test", *own], ["fit", *small(), *own]):
        assert run(*command, "--ckpt_path", file) == 1
        problem = capsys.readouterr().err.splitlines()[-1]
        assert problem.startswith(f"moe-mat {command[0]}: {file} is ")
        assert "weights_only" not in problem  # torch advises to load without the safeguard
        assert not marker.exists()


def test_a_checkpoint_of_experts_that_changed_is_refused(
    run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "zoo"
    cgcnn_expert(folder, "toy")
    assert run("fit", *small(**{"model.experts": folder}), *own) == 0
    cgcnn_expert(folder, "toy", seed=1)
    capsys.readouterr()
    assert run("predict", "--ckpt_path", checkpoint(), *own[:2]) == 1
    assert "trained on other versions of these experts: toy" in capsys.readouterr().err
    assert not Path("predictions.csv").exists()
