"""A sweep over the toy tasks: its result files, what it runs again, and what stops it or not."""

import json

import numpy as np
import pytest
from toy_benchmark import TASKS, numbers, toy_sweep, write_method
from toy_experts import cgcnn_expert

from benchmarks.cells.results import Cell, ResultError, failed_result, is_finished, read_result, write_result
from benchmarks.methods.cards import load_method
from moe_mat.tasks import TaskCards, read_task


@pytest.fixture
def toy(tmp_path, monkeypatch):
    return toy_sweep(tmp_path, monkeypatch)


@pytest.fixture
def median(tmp_path):
    return write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median")


def test_every_cell_gets_one_file_with_the_promised_keys(toy, median, tmp_path):
    assert toy("--methods", median, "median", "--splits", "0", "3", "--seeds", "0", "7") == 0
    files = sorted(str(path.relative_to(tmp_path / "results")) for path in (tmp_path / "results").glob("*/*"))
    assert len(files) == 2 * 2 * 2 * 2
    assert "noisy/toy_gap.3.7.json" in files
    result = read_result(tmp_path / "results" / "noisy" / "toy_gap.3.7.json")
    assert (result["task"], result["split"], result["method"], result["seed"]) == ("toy_gap", 3, "noisy", 7)
    task = read_task(TaskCards(tmp_path / "cards").load("toy_gap"), tmp_path / "data")
    rows = task.splits[3].test
    assert result["ids"] == [f"c{row}" for row in rows]
    np.testing.assert_allclose(result["targets"], task.target[rows], rtol=1e-5)
    mae = np.abs(np.array(result["predictions"]) - task.target[rows]).mean()
    assert result["test_mae"] == pytest.approx(mae, rel=1e-4)
    assert len(result["std"]) == len(rows)
    assert {"val_mae", "seconds", "peak_memory_mib", "versions", "commit", "splits_sha256", "fidelity"} <= set(result)


def test_finished_cells_are_not_run_again(toy, median, tmp_path, capsys):
    toy("--methods", median, "--splits", "0")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*/*")}
    assert toy("--methods", median, "--splits", "0", "1") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "4 cells, 2 finished, 2 to run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "edited", "nan", "other cell", "no number"])
def test_damaged_result_is_named_and_computed_again(toy, median, tmp_path, capsys, damage):
    toy("--methods", median, "--splits", "0", "1")
    whole = numbers(tmp_path / "results")
    path = tmp_path / "results" / "noisy" / "toy_gap.0.0.json"
    content = json.loads(path.read_text())
    if damage == "cut":
        path.write_text(path.read_text()[:300])
    elif damage == "edited":
        path.write_text(path.read_text().replace(f'"val_mae": {content["val_mae"]}', '"val_mae": 0.001'))
    elif damage == "nan":
        path.write_text(path.read_text().replace(str(content["test_mae"]), "NaN"))
    elif damage == "other cell":
        path.write_bytes(path.with_name("toy_gap.1.0.json").read_bytes())
    else:
        path.write_text(json.dumps({k: v for k, v in content.items() if k not in ("val_mae", "sha256")}))
    with pytest.raises(ResultError, match=r"toy_gap\.0\.0\.json"):
        read_result(path)
    assert toy("--methods", median, "--splits", "0", "1") == 0
    said = capsys.readouterr().err
    assert str(path) in said
    assert "computed again" in said
    assert numbers(tmp_path / "results") == whole


def test_mae_that_does_not_follow_from_the_predictions_is_noticed(toy, median, tmp_path):
    toy("--methods", median, "--splits", "0")
    path = tmp_path / "results" / "noisy" / "toy_gap.0.0.json"
    result = read_result(path)
    write_result({**result, "test_mae": 0.9 * result["test_mae"]}, tmp_path / "results")  # with a valid checksum
    with pytest.raises(ResultError, match="its predictions have an MAE of"):
        read_result(path)


def test_method_with_other_settings_is_named_and_run_again(toy, tmp_path, capsys):
    def card(limit: float) -> str:
        return write_method(tmp_path, "picky", kind="toy_benchmark:broken", settings={"limit": limit})

    toy("--methods", card(1e6), "--splits", "0")
    assert toy("--methods", card(2e6), "--splits", "0") == 0
    assert "made with other settings or experts of picky" in capsys.readouterr().err
    assert read_result(tmp_path / "results" / "picky" / "toy_gap.0.0.json")["settings"] == {"limit": 2e6}


def test_failed_cell_is_recorded_and_tried_again(toy, median, tmp_path, capsys):
    picky = write_method(tmp_path, "picky", kind="toy_benchmark:broken", settings={"limit": 50})
    assert toy("--methods", picky, median, "--splits", "0") == 1
    said = capsys.readouterr().err
    assert "no way with such targets" in said
    assert "3 cells finished, 1 failed" in said
    record = json.loads((tmp_path / "results" / "picky" / "toy_volume.0.0.json").read_text())
    assert record["test_mae"] is None
    assert "in broken" in record["traceback"]
    assert is_finished(read_result(tmp_path / "results" / "picky" / "toy_gap.0.0.json"))
    assert toy("--methods", picky, "--splits", "0") == 1
    assert "2 cells, 1 finished, 1 to run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "row", "html"])
def test_task_that_cannot_be_used_is_named_and_stops_no_other(toy, median, tmp_path, capsys, damage):
    path = tmp_path / "data" / "benchmark" / "toy_gap.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "html":
        path.write_text("<html>403</html>")
    else:
        import pandas as pd

        pd.read_parquet(path)[1:].to_parquet(path)
    assert toy("--methods", median, "--splits", "0") == 1
    said = capsys.readouterr().err
    assert "toy_gap cannot be used" in said
    assert str(path) in said
    assert not is_finished(read_result(tmp_path / "results" / "noisy" / "toy_gap.0.0.json"))
    assert is_finished(read_result(tmp_path / "results" / "noisy" / "toy_volume.0.0.json"))


def test_cell_alone_gives_the_numbers_of_the_sweep(toy, tmp_path):
    for seed, tag in enumerate(("toy_a", "toy_b", "toy_c")):
        cgcnn_expert(tmp_path / "experts", tag, seed=seed)
    published = load_method("moe-published", experts=[str(tmp_path / "experts")])
    short = {**published.settings, "max_epochs": 3, "top_k": 2}
    heads = {"max_epochs": 20, "patience": 20}
    given = ["median"]
    for name, kind, settings in (
        ("kernel", "mixture", {"n_members": 1, "max_epochs": 3}),
        ("tuned", "mixture", short),
        ("pair", "transfer", short),
        ("joined", "concatenation", heads),
        ("mean", "ensemble", {**heads, "weights": "validation"}),
        ("trees", "forest", {"n_estimators": 10}),
    ):
        given.append(write_method(tmp_path, name, kind=kind, experts=["default"], settings=settings))
    stl = {"encoder": {"width": 8, "n_convolutions": 2}, "max_epochs": 2, "batch_size": 8}
    given.append(write_method(tmp_path, "stl-small", kind="scratch", settings=stl))
    options = ["--tasks", "toy_gap", "--experts", str(tmp_path / "experts"), "--methods"]
    assert toy(*options, *given, "--splits", "0", "1") == 0
    for name in given:
        assert toy(*options, name, "--splits", "1", output="alone") == 0
    together, alone = numbers(tmp_path / "results"), numbers(tmp_path / "alone")
    assert len(alone) == len(given)
    for name, result in alone.items():
        same = together[name]
        np.testing.assert_allclose(result["predictions"], same["predictions"], rtol=1e-6, atol=1e-6)
        assert result["val_mae"] == pytest.approx(same["val_mae"], rel=1e-6)
        assert result["test_mae"] == pytest.approx(same["test_mae"], rel=1e-6)
    assert sum(together["tuned/toy_gap.0.0.json"]["gate_weights"].values()) == pytest.approx(1, abs=1e-3)
    pair = together["pair/toy_gap.0.0.json"]
    screened = {one["expert"]: one["val_mae"] for one in pair["tried"] if "expert" in one}
    assert pair["chosen"]["expert"] == min(screened, key=screened.get)
    assert len(together["mean/toy_gap.0.0.json"]["tried"]) == 3


def test_candidates_are_chosen_on_validation(toy, tmp_path):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    candidates = [{"max_epochs": 1}, {"max_epochs": 8}]
    settings = {"n_members": 1, "head": "mlp", "hidden": [8], "width": 4}
    card = write_method(
        tmp_path,
        "two",
        kind="mixture",
        experts=["default"],
        settings=settings,
        candidates=candidates,
    )
    options = ["--experts", str(tmp_path / "experts"), "--tasks", "toy_gap", "--splits", "0"]
    assert toy("--methods", card, *options) == 0
    result = read_result(tmp_path / "results" / "two" / "toy_gap.0.0.json")
    best = min(result["tried"], key=lambda one: one["val_mae"])
    assert result["val_mae"] == best["val_mae"]
    assert result["chosen"] == {"max_epochs": best["max_epochs"]}


def test_failed_result_is_no_number(tmp_path):
    cell = Cell("toy_gap", 0, "tl:a", 0)
    path = write_result(failed_result(cell, error="ValueError: x", traceback="..."), tmp_path)
    assert path == tmp_path / "tl-a" / "toy_gap.0.0.json"
    assert not is_finished(read_result(path))
    assert TASKS[0] == read_result(path)["task"]
