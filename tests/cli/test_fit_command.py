"""``moe-mat fit``: the quickstart, own data in every format, settings and runs that were interrupted."""

from __future__ import annotations

import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from toy_experts import cgcnn_expert

from cli.own_runs import TESTS, WRITERS, Run, checkpoint, crystals, killed, metrics, run_folder, small, write_parquet
from cli.shells import shell

CONFIGS = Path(__file__).parents[2] / "configs"
REFERENCE_EXPERTS = Path(os.environ.get("MOE_MAT_DATA", "missing")).parent / "reference_experts"


def test_the_quickstart_from_the_shell(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell("fit", COLUMNS="160")
    assert result.returncode == 0, result.stderr
    for shown in (
        "dcdft: 40 train, 9 val, 9 test rows; 13 crystals left out",
        "MAE of the training median",
        "gate weight",
    ):
        assert shown in result.stdout
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr

    folder = run_folder("dcdft")
    report = metrics(folder)
    assert report["test"]["mae"] < 0.5 * report["test"]["median_mae"]
    predictions = pd.read_csv(folder / "predictions.csv")
    assert len(predictions) == predictions["material_id"].nunique() == 58
    weights = pd.read_csv(folder / "gate_weights.csv", index_col="expert")["weight"]
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert len(pd.read_csv(folder / "left_out.csv")) == 13
    for name in (
        "config.yaml",
        "metrics.csv",
        "parity.png",
        "calibration.png",
        "gate_weights.png",
        "checkpoints/last.ckpt",
    ):
        assert (folder / name).stat().st_size > 0

    assert run("test", "--ckpt_path", checkpoint("dcdft")) == 0
    assert metrics(run_folder("dcdft_test"))["test"]["mae"] == pytest.approx(report["test"]["mae"], rel=1e-5)
    assert run("validate", "--ckpt_path", checkpoint("dcdft")) == 0
    assert run("predict", "--ckpt_path", checkpoint("dcdft"), "--data.dataset", "dcdft") == 0
    told = predictions[predictions["part"] == "test"].set_index("material_id")["bulk_modulus_predicted"]
    again = pd.read_csv("predictions.csv").set_index("material_id")["bulk_modulus_predicted"]
    np.testing.assert_allclose(again[told.index], told, rtol=1e-4)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_own_data_in_every_format(kind: str, run: Run, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    id_column = [] if kind in ("csv", "folder") else ["--data.id_column", "name"]
    assert run("fit", *small(), "--data.path", path, "--data.target", "bulk_modulus", *id_column) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv").set_index("material_id")
    _, table = crystals()
    expected = table.set_index("name")["bulk_modulus"]
    assert set(rows.index) == set(expected.index)
    np.testing.assert_allclose(rows["bulk_modulus"], expected[rows.index], rtol=1e-6)

    assert run("predict", "--ckpt_path", checkpoint(), "--data.path", path, *id_column) == 0
    assert list(pd.read_csv("predictions.csv")["material_id"]) == list(expected.index)


def test_published_splits_are_kept(run: Run, own: list[str], tmp_path: Path) -> None:
    names = list(crystals()[1]["name"])
    parts = {"train": names[:12], "val": names[12:15], "test": names[15:]}
    (tmp_path / "splits.json").write_text(json.dumps({"7": parts}))
    splits = ["--data.splits", tmp_path / "splits.json", "--data.split"]
    assert run("fit", *small(), *own, *splits, 7) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv").groupby("part")["material_id"].agg(list)
    assert rows.to_dict() == parts
    assert run("fit", *small(), *own, *splits, 8) == 1


def test_several_targets_and_a_config_that_repeats_the_run(run: Run, tmp_path: Path) -> None:
    path = write_parquet(tmp_path)
    table = pd.read_parquet(path)
    table["half"] = table["bulk_modulus"].where(table.index % 3 > 0) / 2
    table.to_parquet(path)
    targets = ["--data.path", path, "--data.target", "[bulk_modulus,half]", "--data.id_column", "name"]
    assert run("fit", *small(), *targets) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv")
    assert rows["half"].isna().sum() == 7
    assert rows[["bulk_modulus_predicted", "half_predicted"]].notna().all(axis=None)
    assert {path.name for path in run_folder().glob("parity*")} == {"parity_bulk_modulus.png", "parity_half.png"}
    config = ["--config", run_folder() / "config.yaml"]
    assert run("fit", *config) == 0
    assert run("test", *config, "--ckpt_path", checkpoint()) == 0
    again = pd.read_csv(run_folder(version=1) / "predictions.csv")
    pd.testing.assert_frame_equal(again, rows)
    tested = pd.read_csv(run_folder("own_test") / "predictions.csv")
    pd.testing.assert_frame_equal(tested, rows[rows["part"] == "test"].reset_index(drop=True), rtol=1e-5)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
@pytest.mark.usefixtures("run")
def test_a_killed_run_ends_where_an_uninterrupted_one_does(head: str, own: list[str]) -> None:
    # Few rows and a quick network: the best epoch lies before the kill, and must not be forgotten.
    settings = {"kernel": {}, "mlp": {"model.learning_rate": 0.02, "data.batch_size": 5, "data.split": 1}}[head]
    arguments = ["fit", *small(**{"model.head": head, "trainer.max_epochs": 24, **settings}), *own]
    # Processes of their own with one thread: the order of sums is then the same in all.
    surroundings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": TESTS}
    assert shell(*arguments, **surroundings).returncode == 0
    ended = shell(*arguments, *killed(16), **surroundings)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    last = run_folder(version=1) / "checkpoints" / "last.ckpt"
    # That of the last validation, and the kernel head validates every fifth epoch.
    assert torch.load(last, weights_only=True)["epoch"] == {"kernel": 14, "mlp": 15}[head]
    moved = Path(last.parents[1]).rename("moved")  # a run folder may lie elsewhere by now
    resumption = shell(*arguments, "--ckpt_path", moved / "checkpoints" / "last.ckpt", **surroundings)
    assert resumption.returncode == 0, resumption.stderr

    (whole, resumed) = (run_folder(version=version) for version in (0, 1))
    log = pd.read_csv(whole / "metrics.csv")
    assert log.loc[log["val_mae"].idxmin(), "epoch"] < 15
    for name in ("last.ckpt", "best.ckpt"):
        expected, state = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"] for folder in (whole, resumed)
        )
        assert expected.keys() == state.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=0, atol=0)
    expected, rows = (pd.read_csv(folder / "predictions.csv") for folder in (whole, resumed))
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


@pytest.mark.usefixtures("run")
def test_a_run_that_was_killed_after_early_stopping_is_not_trained_further(own: list[str]) -> None:
    settings = {"model.head": "mlp", "trainer.max_epochs": 24, "early_stopping.patience": 2, "model.learning_rate": 0.1}
    arguments = ["fit", *small(**settings), *own]
    surroundings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": TESTS}
    assert shell(*arguments, **surroundings).returncode == 0
    assert shell(*arguments, *killed(-1), **surroundings).returncode == -signal.SIGKILL
    last = run_folder(version=1) / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] < 23
    assert shell(*arguments, "--ckpt_path", last, **surroundings).returncode == 0
    assert not (run_folder(version=2) / "metrics.csv").exists()
    expected, rows = (pd.read_csv(run_folder(version=version) / "predictions.csv") for version in (0, 2))
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


def test_configs_merge_in_their_order(run: Run, own: list[str], tmp_path: Path) -> None:
    first = {"model": {"head": "mlp", "hidden": [7], "loss": "mse"}, "trainer": {"max_epochs": 2}}
    second = {"model": {"hidden": [5, 4]}}
    for number, content in enumerate([first, second]):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(content))
    configs = ["--config", tmp_path / "0.yaml", "--config", tmp_path / "1.yaml"]
    assert run("fit", *configs, "--model.loss=mae", "--model.experts=magpie", "--trainer.accelerator=cpu", *own) == 0
    settings = torch.load(checkpoint(), weights_only=True)["hyper_parameters"]
    assert (settings["head"], list(settings["hidden"]), settings["loss"]) == ("mlp", [5, 4], "mae")
    assert len(pd.read_csv(run_folder() / "metrics.csv")["epoch"].unique()) == 2


def test_metrics_go_to_a_csv_file_by_default(run: Run, own: list[str]) -> None:
    assert run("fit", *small(), *own) == 0
    log = pd.read_csv(run_folder() / "metrics.csv")
    assert log["train_loss"].notna().sum() == 3
    for column in ("val_mae", "val_rmse", "val_r2"):  # the kernel head validates every fifth epoch, or the last one
        assert log[column].notna().sum() == 1


@pytest.mark.skipif(not find_spec("tensorboard"), reason="tensorboard is not installed")
def test_another_logger_by_name(run: Run, own: list[str]) -> None:
    logger = ["--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", "board"]
    assert run("fit", *small(), *own, *logger) == 0
    assert list(Path("board").rglob("events.out.tfevents.*"))
    assert list(Path("board").rglob("metrics.json"))


@pytest.mark.parametrize("experts", ["toy", "reference"])
def test_the_published_recipe(experts: str, run: Run, own: list[str], tmp_path: Path) -> None:
    if experts == "reference":
        files = sorted(REFERENCE_EXPERTS.glob("mp_*.safetensors"))
        if not files:
            pytest.skip("no reference_experts beside MOE_MAT_DATA")
        assert run("experts", "import", *files, "--folder", "zoo", "--ties", "order") == 0
        folder = Path("zoo")
    else:
        folder = tmp_path / "zoo"
        for number in range(5):
            cgcnn_expert(folder, f"toy{number}", seed=number)
    arguments = ["--config", CONFIGS / "published.yaml", "--model.experts", folder, "--trainer.accelerator=cpu"]
    assert run("fit", *arguments, *own, "--trainer.max_epochs=3", "--model.top_k=2") == 0
    saved = torch.load(checkpoint().with_name("last.ckpt"), weights_only=True)
    settings, state = saved["hyper_parameters"], saved["state_dict"]
    assert (settings["orthogonality"], settings["learning_rate"], settings["tuning_rate"]) == (
        0.01,
        0.01,
        0.005,
    )
    last = torch.load(checkpoint().with_name("last.ckpt"), weights_only=True)
    assert [group["lr"] for group in last["optimizer_states"][0]["param_groups"]]
    layers = [value for name, value in state.items() if "head.network." in name and name.endswith("weight")]
    assert [len(layer) for layer in layers] == [32, 32, 1]
    assert any("tuned.convolutions" in name for name in state)
    weights = pd.read_csv(run_folder() / "gate_weights.csv")["weight"]
    assert (weights > 0).sum() == 2
    assert run("predict", "--ckpt_path", checkpoint(), *own[:2], *own[4:]) == 0
    told = pd.read_csv(run_folder() / "predictions.csv").set_index("material_id")["bulk_modulus_predicted"]
    again = pd.read_csv("predictions.csv").set_index("material_id")["bulk_modulus_predicted"]
    np.testing.assert_allclose(again[told.index], told, rtol=1e-4)
