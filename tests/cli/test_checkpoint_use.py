"""What a checkpoint is used for: finished ones predict, unfinished ones go on, damaged ones do neither."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from toy_experts import cgcnn_expert

from cli.own_runs import TESTS, Run, checkpoint, killed, metrics, run_folder, small, write_parquet
from cli.shells import shell


def problem(*arguments: object) -> str:
    """Run a command that must fail; its one line."""
    result = shell(*arguments)
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("moe-mat")]
    return line


def test_a_model_that_is_not_finished_does_not_predict(own: list[str]) -> None:
    """Point 2: the fit was killed after its first validation."""
    fit = shell("fit", *small(**{"trainer.max_epochs": 12}), *own, *killed(7), PYTHONPATH=TESTS)
    assert fit.returncode == -signal.SIGKILL
    last = checkpoint().with_name("last.ckpt")
    remedy = f"--config {run_folder() / 'config.yaml'} --ckpt_path {last}"
    for command in ("predict", "test", "validate"):
        line = problem(command, *own[:2], *own[4:], "--ckpt_path", checkpoint())
        assert "a training that is not finished" in line
        assert line.endswith(f"finish it by moe-mat fit {remedy}")
    assert not Path("predictions.csv").exists()

    finished = shell(
        *f"fit --allow-import=cli.own_runs {remedy} --trainer.callbacks.epoch=99".split(), PYTHONPATH=TESTS
    )
    assert finished.returncode == 0, finished.stderr
    assert shell("predict", *own[:2], *own[4:], "--ckpt_path", checkpoint(version=1)).returncode == 0
    assert "there is nothing to go on with" in problem("fit", *small(), *own, "--ckpt_path", checkpoint(version=1))
    line = problem("predict", *own[:2], "--ckpt_path", checkpoint(version=1).with_name("last.ckpt"))
    assert line.endswith(f"the finished model is {checkpoint(version=1)}")


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_validate_reports_the_errors_of_fit(head: str, run: Run, own: list[str]) -> None:
    """Point 6: the finished model has learned from its validation rows."""
    assert run("fit", *small(**{"model.head": head}), *own) == 0
    validated = shell("validate", *own, "--ckpt_path", checkpoint(), COLUMNS="200")
    assert validated.returncode == 0, validated.stderr
    assert ("errors from before the model learned from these rows too" in validated.stdout) == (head == "kernel")
    of_fit, again = metrics(run_folder())["val"], metrics(run_folder("own_validate"))["val"]
    assert not again["in_sample"]
    for score in ("n", "mae", "rmse", "r2"):
        assert again[score] == pytest.approx(of_fit[score], rel=1e-5)
    rows = pd.read_csv(run_folder() / "predictions.csv")
    assert rows["in_sample"].tolist() == (rows["part"] == "train").tolist()
    expected = rows[rows["part"] == "val"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(run_folder("own_validate") / "predictions.csv"), expected, rtol=1e-5)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_what_a_model_has_learned_from_is_marked(head: str, run: Run, own: list[str]) -> None:
    assert run("fit", *small(**{"model.head": head}), *own) == 0
    learned = ["train", "val"] if head == "kernel" else ["train"]
    rows = pd.read_csv(run_folder() / "predictions.csv").set_index("material_id")
    known = rows.index[rows["part"].isin(learned)]

    assert run("test", *own, "--data.split", 1, "--data.fractions=[0.4,0.1,0.5]", "--ckpt_path", checkpoint()) == 0
    tested = pd.read_csv(run_folder("own_test") / "predictions.csv").set_index("material_id")
    assert set(tested.index[tested["in_sample"]]) == set(tested.index) & set(known)
    assert 0 < tested["in_sample"].sum() < len(tested)
    summary = pd.read_json(run_folder("own_test") / "metrics.json", typ="series")
    for row in summary["metrics"]:
        some = tested[tested["in_sample"] == row["in_sample"]]
        assert row["n"] == len(some)
        assert row["mae"] == pytest.approx(
            (some["bulk_modulus_predicted"] - some["bulk_modulus"]).abs().mean(), rel=1e-5
        )
    assert "test rows are crystals that the model has learned from" in summary["warnings"][0]

    # One schema, whatever the head, and the crystals are recognised without their names.
    table = pd.read_parquet(own[1]).drop(columns="bulk_modulus")
    table.assign(name=[f"row {n}" for n in range(len(table))]).to_parquet("renamed.parquet")
    assert run("predict", "renamed.parquet", "--ckpt_path", checkpoint(), *own[4:]) == 0
    predicted = pd.read_csv("predictions.csv")
    kinds = ("predicted", "std", "lower", "upper", "percentile", "outside")
    assert list(predicted) == ["material_id", "in_sample", *(f"bulk_modulus_{kind}" for kind in kinds)]
    assert list(predicted) == [name for name in pd.read_csv(run_folder() / "predictions.csv") if name in set(predicted)]
    assert set(table["name"][predicted["in_sample"]]) == set(known)
    assert predicted["bulk_modulus_std"].notna().all() == (head == "kernel")


@pytest.mark.parametrize("other", ["targets", "crystals", "split", "fewer", "structures"])
def test_a_run_goes_on_with_its_own_data_alone(other: str, run: Run, own: list[str], tmp_path: Path) -> None:
    """Point 7."""
    assert run("fit", *small(), *own) == 0
    table, arguments = pd.read_parquet(own[1]), []
    if other == "targets":
        table["bulk_modulus"] = table["bulk_modulus"][::-1].to_numpy()
    elif other == "crystals":
        table["name"] += "x"
    elif other == "fewer":
        table = table[:-1]
    elif other == "structures":
        table["lattice_vectors"] = [[[1.01 * x for x in v] for v in cell] for cell in table["lattice_vectors"]]
    else:
        arguments = ["--data.split", "1"]
    (tmp_path / "other").mkdir()
    table.to_parquet(tmp_path / "other" / "own.parquet")
    data = ["--data.path", tmp_path / "other" / "own.parquet", *own[2:], *arguments]
    line = problem("fit", *small(), *data, "--ckpt_path", checkpoint().with_name("last.ckpt"))
    words = {"targets": "other targets", "split": "another split"}.get(other, "other crystals")
    assert f"a training on {words}" in line


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_flipped_bits_are_noticed(name: str, run: Run, own: list[str]) -> None:
    """Point 8: neither torch nor the archive around the tensors looks."""
    assert run("fit", *small(), *own) == 0
    path = checkpoint().with_name(name)
    with zipfile.ZipFile(path) as archive:
        tensors = [one for one in archive.infolist() if "/data/" in one.filename]
    record = max(tensors, key=lambda one: one.file_size)
    content = bytearray(path.read_bytes())
    content[record.header_offset + record.file_size // 2] ^= 0x10
    Path("flipped.ckpt").write_bytes(content)
    torch.load("flipped.ckpt", weights_only=True)
    commands = [["fit", *small(), *own]] if name == "last.ckpt" else [["predict", *own[:2]], ["test", *own]]
    for command in commands:
        assert "flipped.ckpt is not as it was written" in problem(*command, "--ckpt_path", "flipped.ckpt")


def test_an_edited_checkpoint_is_refused(run: Run, own: list[str]) -> None:
    assert run("fit", *small(), *own) == 0
    for number, edit in enumerate(({"hyper_parameters": {"experts": 3, "targets": None}}, {"finished": {}})):
        content = torch.load(checkpoint(), weights_only=True)
        torch.save(content | edit, f"{number}.ckpt")
        assert f"{number}.ckpt is not as it was written" in problem(
            "predict", *own[:2], "--ckpt_path", f"{number}.ckpt"
        )


def test_experts_are_checked_where_embeddings_are_cached(run: Run, own: list[str], tmp_path: Path) -> None:
    """Point 8: in a new fit, a resumed one, and a prediction."""
    folder = tmp_path / "zoo"
    cards = [cgcnn_expert(folder, tag, seed=seed) for seed, tag in enumerate(("one", "two"))]
    fit = ["fit", *small(**{"model.experts": folder}), *own]
    assert run(*fit) == 0
    last = checkpoint().with_name("last.ckpt")
    for experts in (cards[0].path, f"[{cards[1].path},{cards[0].path}]"):  # fewer, and in another order
        line = problem("fit", *small(**{"model.experts": experts}), *own, "--ckpt_path", last)
        assert "was trained with other settings of model.experts" in line
    weights = folder / "one.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 0x10
    weights.write_bytes(content)
    for command in (fit, [*fit, "--ckpt_path", last], ["predict", *own[:2], "--ckpt_path", checkpoint()]):
        assert f"{weights} does not have the SHA-256 of its card" in problem(*command)


def test_the_finished_checkpoint_has_no_state_of_the_optimiser(run: Run, own: list[str]) -> None:
    """Point 10."""
    assert run("fit", *small(**{"model.head": "mlp"}), *own) == 0
    best, last = (torch.load(checkpoint().with_name(name), weights_only=True) for name in ("best.ckpt", "last.ckpt"))
    assert "optimizer_states" in last
    assert not {"optimizer_states", "callbacks", "lr_schedulers"} & best.keys()
    assert checkpoint().stat().st_size < 0.6 * checkpoint().with_name("last.ckpt").stat().st_size


# What is said of data and split (point 16) ---------------------------------------------------------------------------


def summary_of(folder: Path) -> pd.Series:
    return pd.read_json(folder / "metrics.json", typ="series")


def test_repeated_crystals_are_counted_and_kept_together_if_asked(run: Run, own: list[str], tmp_path: Path) -> None:
    table = pd.read_parquet(own[1])
    again = table.assign(name=table["name"] + "2", bulk_modulus=table["bulk_modulus"] + 1000 * (table.index < 5))
    pd.concat([table, again], ignore_index=True).to_parquet(tmp_path / "twice.parquet")
    arguments = ["fit", *small(), "--data.path", tmp_path / "twice.parquet", *own[2:]]
    shown = shell(*arguments, COLUMNS="300")
    assert shown.returncode == 0, shown.stderr
    summary, rows = summary_of(run_folder("twice")), pd.read_csv(run_folder("twice") / "predictions.csv")
    first = rows["material_id"].str.removesuffix("2")
    train, val = (set(first[rows["part"] == part]) for part in ("train", "val"))
    expected = {
        "val": int(first[rows["part"] == "val"].isin(train).sum()),
        "test": int(first[rows["part"] == "test"].isin(train | val).sum()),
        "contradicting": 10,
    }
    assert summary["repeated_crystals"] == expected
    assert expected["test"] > 0
    for line in (f"{expected['test']} of 6 test rows", "10 rows are crystals that occur more than once"):
        assert line in shown.stdout
        assert any(line in warning for warning in summary["warnings"])
    listed = pd.read_csv(run_folder("twice") / "repeated_crystals.csv")
    assert len(listed) == 2 * len(table)
    assert (listed["material_id"].str.removesuffix("2") == listed["same_as"].str.removesuffix("2")).all()

    assert run(*arguments, "--data.group", "structure") == 0
    summary = summary_of(run_folder("twice", 1))
    assert summary["repeated_crystals"] == {"val": 0, "test": 0, "contradicting": 10}
    rows = pd.read_csv(run_folder("twice", 1) / "predictions.csv")
    assert rows.groupby(rows["material_id"].str.removesuffix("2"))["part"].nunique().max() == 1
    assert run("test", "--config", run_folder("twice", 1) / "config.yaml", "--ckpt_path", checkpoint("twice", 1)) == 0
    assert summary_of(run_folder("twice_test"))["warnings"] == []


def test_a_constant_target_and_few_test_rows_are_said(tmp_path: Path) -> None:
    path = write_parquet(tmp_path)
    pd.read_parquet(path).assign(bulk_modulus=3.5).to_parquet(path)
    fit = shell("fit", *small(), "--data.path", path, "--data.target", "bulk_modulus", COLUMNS="200")
    assert fit.returncode == 0, fit.stderr
    for warning in ("bulk_modulus is 3.5 in all 14 training rows", "3 test rows are few"):
        assert warning in fit.stdout
        assert any(warning in one for one in summary_of(run_folder())["warnings"])


def test_groups_are_for_random_splits(own: list[str], tmp_path: Path) -> None:
    assert "choose one" in problem("fit", *small(), *own, "--data.splits", "s.json", "--data.group", "formula")
    assert "no column of the data: did you mean 'name'" in problem("fit", *small(), *own, "--data.group", "nam")
