"""One grammar for all commands: where crystals are named, how options are written, and each given once."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from pathlib import Path

import pandas as pd
import pytest

from cli.own_runs import N_CRYSTALS, Run, checkpoint, metrics, run_folder, small, write_parquet
from moe_mat.cli.grammar import Grammar, UsageError, with_word_as


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    parser = ArgumentParser()
    for name in ("--config", "--data", "--data.path", "--data.on_error", "--ckpt_path", "--model.weights"):
        parser.add_argument(name)
    parser.add_argument("--data.target")
    parser.add_argument("--trainer.callbacks")
    parser.add_argument("--flag", action="store_true")
    actions: dict[str, Action] = parser._option_string_actions
    return Grammar.of(actions, aliases={"path": "data.path", "on_error": "data.on_error", "unknown": "data.unknown"})


def read(grammar: Grammar, line: str) -> list[str]:
    return [str(one) for one in with_word_as("data.path", grammar.read(line.split()))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("my.csv", "--data.path=my.csv"),
        ("--path my.csv", "--data.path=my.csv"),
        ("--data.path=my.csv", "--data.path=my.csv"),
        ("--on-error skip my.csv", "--data.on_error=skip --data.path=my.csv"),
        ("--data.on-error=skip --ckpt-path a", "--data.on_error=skip --ckpt_path=a"),
        ("--flag my.csv", "--flag --data.path=my.csv"),
        ("--data.target -3.5", "--data.target=-3.5"),
        ("--model.weights.my-expert 1", "--model.weights.my-expert=1"),
        ("--data data.yaml --ckpt_path x=y", "--data=data.yaml --ckpt_path=x=y"),
        ("--config a --config b", "--config=a --config=b"),
        ("--trainer.callbacks+=A --trainer.callbacks.x=1 --trainer.callbacks+=B --trainer.callbacks.x=2", None),
        ("-- --odd-name", "--data.path=--odd-name"),
    ],
)
def test_what_is_typed_is_read(grammar: Grammar, line: str, expected: str | None) -> None:
    assert " ".join(read(grammar, line)) == (expected or line)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.csv b.csv", "'b.csv' is one too many: 'a.csv' is given already; put several files"),
        ("a.csv --data.path b.csv", "--data.path is given twice, as a.csv and as b.csv"),
        ("--path a --data.path b", "--data.path is given twice"),
        ("--on-error skip --on_error raise", "--data.on_error is given twice, as skip and as raise"),
        ("--data.pth a", "no option --data.pth; did you mean --data.path"),
        ("--target y", "no option --target; did you mean --data.target"),
        ("--zzz", "no option --zzz"),
    ],
)
def test_what_means_nothing_is_refused(grammar: Grammar, line: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read(grammar, line)


def test_crystals_are_named_alike_in_every_command(run: Run, own: list[str], tmp_path: Path) -> None:
    for number, crystals in enumerate(([own[1]], ["--path", own[1]], ["--data.path", own[1]])):
        model = checkpoint(version=number)
        assert run("fit", *crystals, *small(), "--target", "bulk_modulus", "--id-column", "name") == 0
        assert run("predict", *crystals, "--ckpt-path", model, "--id-column=name", "--output", "p.csv") == 0
        assert len(pd.read_csv("p.csv")) == N_CRYSTALS
        assert (
            run("embed", *crystals, "--data.id_column", "name", "--model.experts", "magpie", "--on-error", "skip") == 0
        )
        assert run("audit", *crystals, "--target", "bulk_modulus", "--experts", "magpie") == 0


@pytest.mark.parametrize("command", ["fit", "embed"])
def test_an_option_is_given_once(
    command: str, run: Run, own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(command, "--data.path", own[1], "--data.path", tmp_path) == 2
    assert f"given twice, as {own[1]} and as {tmp_path}: leave out one" in capsys.readouterr().err


def test_a_configuration_may_be_overridden(run: Run, own: list[str], tmp_path: Path) -> None:
    Path("data.yaml").write_text("data: {path: nowhere.csv, id_column: name}")
    assert run("fit", "--config", "data.yaml", *small(), own[1], "--data.target", "bulk_modulus") == 0


def test_output_is_an_option_of_predict_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "--output", "here.csv") == 2
    assert "there is no option --output" in capsys.readouterr().err
    for command, has_it in (("fit", False), ("test", False), ("validate", False), ("predict", True)):
        run(command, "--help")
        assert ("--output" in capsys.readouterr().out) == has_it


@pytest.mark.parametrize("command", ["test", "validate", "fit"])
def test_the_quickstart_is_not_taken_for_other_data(
    command: str, run: Run, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", *small(), *own) == 0
    name = "last.ckpt" if command == "fit" else "best.ckpt"
    capsys.readouterr()
    assert run(command, "--ckpt_path", checkpoint().with_name(name)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"was trained on {own[1]}: name the data, or its run by --config {run_folder()}/config.yaml" in line
    assert [path.name for path in Path("runs").iterdir()] == ["own"]


def test_a_repeated_configuration_is_the_same_training(run: Run, tmp_path: Path) -> None:
    """Epochs of patience stay epochs, however often the configuration of a run is used again."""
    path = write_parquet(tmp_path)
    settings = small(**{"trainer.max_epochs": "null"})
    assert run("fit", path, *settings, "--target", "bulk_modulus", "--early_stopping.patience=10") == 0
    for version in (0, 1):
        assert run("fit", "--config", run_folder(version=version) / "config.yaml") == 0
    logs = [pd.read_csv(run_folder(version=version) / "metrics.csv") for version in range(3)]
    assert len({len(log) for log in logs}) == 1
    assert metrics(run_folder(version=2)) == metrics(run_folder())
