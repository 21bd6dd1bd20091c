"""``moe-mat crossval``: folds are trained as fit trains, kept when it is ended, and scored with mean and spread."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cli.own_runs import N_CRYSTALS, Run, run_folder, small
from cli.test_signals import start, told, wait_for

FOLDER = Path("crossval")


def found(folder: Path = FOLDER) -> dict[str, Any]:
    return json.loads((folder / "crossval.json").read_text())


def predictions(folder: Path = FOLDER) -> pd.DataFrame:
    return pd.read_csv(folder / "predictions.csv")


def test_every_crystal_is_predicted_by_a_model_that_has_not_seen_it(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("crossval", *small(), *own, "--folds", 3, "--repeats", 2) == 0
    shown = capsys.readouterr().out
    table = predictions()
    assert table.groupby("repeat")["material_id"].nunique().tolist() == [N_CRYSTALS] * 2
    assert len(table) == 2 * N_CRYSTALS
    assert (table["bulk_modulus_std"] > 0).all()
    errors = (table["bulk_modulus"] - table["bulk_modulus_predicted"]).abs().groupby([table["repeat"], table["fold"]])
    said = found()
    folds = pd.DataFrame(said["folds"])
    np.testing.assert_allclose(folds["mae"], errors.mean(), rtol=1e-5)
    assert folds["n"].tolist() == errors.size().tolist()
    for split, parts in json.loads((FOLDER / "splits.json").read_text()).items():
        assert len({*parts["train"], *parts["val"], *parts["test"]}) == N_CRYSTALS
        tested = table[(table["repeat"] == folds["repeat"][int(split)]) & (table["fold"] == folds["fold"][int(split)])]
        assert tested["material_id"].tolist() == parts["test"]
    summary = pd.DataFrame(said["summary"]).set_index("of")["mae"]
    assert summary["mean"] == pytest.approx(folds["mae"].mean())
    assert summary["std of folds"] == pytest.approx(folds["mae"].std())
    assert summary["std of repeats"] == pytest.approx(folds.groupby("repeat")["mae"].mean().std())
    for words in ("median", "std of folds", "std of repeats", f"{summary['mean']:.4g}", "folds share training rows"):
        assert words in " ".join(shown.split())

    # What fit trains on the rows of a fold says the same.
    splits = ["--data.splits", FOLDER / "splits.json", "--data.split", 4]
    assert run("fit", *small(), *own, *splits) == 0
    alone = pd.read_csv(run_folder() / "predictions.csv").query("part == 'test'")
    np.testing.assert_allclose(
        alone["bulk_modulus_predicted"], table.query("repeat == 1 and fold == 1")["bulk_modulus_predicted"], rtol=1e-4
    )


def test_two_workers_give_the_same_digits_and_a_finished_fold_is_kept(run: Run, own: list[str]) -> None:
    command = ["crossval", *small(), *own, "--folds", 3]
    assert run(*command) == 0
    assert run(*command, "--workers", 2, "--output", "two") == 0
    names = ("predictions.csv", "crossval.json", "splits.json")
    assert [(FOLDER / name).read_text() for name in names] == [(Path("two") / name).read_text() for name in names]
    # A fold that is finished is not trained again, and one whose file is damaged is.
    kept, damaged = (Path("two") / "folds" / f"0_{number}.json" for number in (0, 1))
    content = json.loads(kept.read_text())
    content["predictions"]["bulk_modulus_predicted"][0] = 1234.5
    kept.write_text(json.dumps(content))
    damaged.write_text(damaged.read_text()[:100])
    assert run(*command, "--output", "two") == 0
    first, *others = predictions(Path("two"))["bulk_modulus_predicted"]
    assert first == 1234.5
    assert others == predictions()["bulk_modulus_predicted"].tolist()[1:]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_same_command_goes_on(number: signal.Signals, run: Run, own: list[str]) -> None:
    command = ["crossval", *small(**{"trainer.max_epochs": 25}), *own, "--folds", 4, "--workers", 2]
    process = start(*command)
    wait_for(lambda: list(FOLDER.glob("folds/*.json")), process)
    process.send_signal(number)
    lines = told(process)
    assert process.returncode in (128 + number, -number)
    if number == signal.SIGTERM:
        assert lines[-1].startswith("moe-mat crossval: stopped by SIGTERM; the same command goes on: ")
    assert not (FOLDER / "predictions.csv").exists()
    times = {path: path.stat().st_mtime_ns for path in FOLDER.glob("folds/*.json")}
    assert 0 < len(times) < 4
    assert run(*command) == 0
    assert len(predictions()) == N_CRYSTALS
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_another_cross_validation_is_refused_by_name(
    run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["crossval", *small(), *own, "--folds"]
    assert run(*command, 2) == 0
    assert run(*command, 3) == 1
    problem = capsys.readouterr().err.splitlines()[-1]
    assert "--output crossval holds another cross-validation (settings.folds was 2 and is 3; " in problem
    assert run(*command, 2, "--seed_everything", 3, "--model.n_gates", 1) == 1
    assert "seed was 0 and is 3; settings.model.n_gates was 2 and is 1" in capsys.readouterr().err
    Path("mine").mkdir()
    Path("mine/predictions.csv").write_text("mine")
    assert run(*command, 2, "--output", "mine") == 1
    assert "mine holds other files" in capsys.readouterr().err
    assert Path("mine/predictions.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--folds", "21"], "20 crystals cannot be divided into 21 folds"),
        (["--group", "odd", "--folds", "3"], "2 groups cannot be divided into 3 folds"),
        (["--group", "lab"], "data.group is 'lab', which is no column"),
        (["--group", "column:lab"], "data.group is 'lab', which is no column"),
        (["--order", "yeer"], "order is 'yeer', which is no column of the data"),
        (["--order", "gaps"], "column 'gaps' has no value for 1 crystals, the first is 'Li'"),
        (["--order", "year", "--repeats", "2"], "leave out repeats"),
        (["--workers", "0"], "workers is 0"),
        (["--data.splits", "x.json"], "data.splits gives one split"),
        (["--ckpt_path", "x.ckpt"], "leave out --ckpt_path"),
        (["--trainer.max_steps", "7"], "--trainer.max_steps is for fit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str], problem: str, run: Run, dated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("crossval", *small(), *dated, *arguments) == 1
    assert problem in capsys.readouterr().err.splitlines()[-1]
    assert not (FOLDER / "predictions.csv").exists()


@pytest.fixture
def dated(own: list[str]) -> list[str]:
    """Data with columns that can order and group them, and a second target."""
    table = pd.read_parquet(own[1])
    places = np.arange(len(table))
    table = table.assign(year=1990 + places[::-1], odd=places % 2, gaps=[None, *places[1:]], formula=places // 4)
    table.assign(half=np.where(places < 3, np.nan, table["bulk_modulus"] / 2)).to_parquet("dated.parquet")
    return ["--data.path", "dated.parquet", *own[2:]]


def test_along_time_nothing_later_is_learned_from(run: Run, dated: list[str]) -> None:
    assert run("crossval", *small(), *dated, "--order", "year", "--folds", 3) == 0
    years = pd.read_parquet("dated.parquet").set_index("name")["year"]
    for parts in json.loads((FOLDER / "splits.json").read_text()).values():
        assert years[parts["train"] + parts["val"]].max() < years[parts["test"]].min()
    assert len(predictions()) == 15


@pytest.mark.parametrize("group", ["cluster", "column:formula"])
def test_groups_are_not_divided_and_several_targets_are_scored(group: str, run: Run, dated: list[str]) -> None:
    targets = ["--data.target", "[bulk_modulus,half]"]
    command = [one for one in dated if one not in ("--data.target", "bulk_modulus")] + targets
    assert run("crossval", *small(), *command, "--group", group, "--folds", 2) == 0
    splits = json.loads((FOLDER / "splits.json").read_text())
    if group == "column:formula":
        groups = pd.read_parquet("dated.parquet").set_index("name")["formula"]
        for parts in splits.values():
            sets = [set(groups[names]) for names in parts.values()]
            assert sum(map(len, sets)) == 5
    folds = pd.DataFrame(found()["folds"])
    assert folds.groupby("target")["n"].sum().to_dict() == {"bulk_modulus": N_CRYSTALS, "half": N_CRYSTALS - 3}
    assert len(found()["summary"]) == 4


def test_fit_on_few_crystals_names_the_command(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", *small(), *own, "--trainer.logger", "false") == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("one split says little"))
    assert "3 test rows of 20" in line
    program, *words = shlex.split(line.partition("crystal: ")[2])
    assert program == "moe-mat"
    assert run(*words, "--folds", 2) == 0
    assert len(predictions()) == N_CRYSTALS
    assert run("fit", *small(), *own, "--data.splits", FOLDER / "splits.json") == 0
    assert "one split says little" not in capsys.readouterr().out


def test_the_configuration_of_a_run_is_taken(run: Run, own: list[str]) -> None:
    assert run("fit", *small(), *own) == 0
    assert run("crossval", "--config", run_folder() / "config.yaml", "--folds", 2) == 0
    assert found()["settings"]["max_epochs"] == 3
