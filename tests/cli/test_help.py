"""The first minute: help and version, which are there at once."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib.metadata import version

import pytest

from cli.own_runs import Run
from moe_mat.cli.commands import COMMANDS, LIGHTNING_COMMANDS
from moe_mat.cli.main import main

HEAVY = {"matplotlib", "pandas", "pyarrow", "pymatgen", "pytorch_lightning", "scipy", "sklearn", "torch"}
FUNCTIONS = {
    words: function
    for name, command in COMMANDS.items()
    for words, function in (
        {(name, action): function for action, function in command.items()}
        if isinstance(command, dict)
        else {(name,): command}
    ).items()
}
# Calls the command line for each list of words, and says what was imported by then.
LOADED = """
import contextlib, json, sys
from moe_mat.cli.main import main
for words in json.load(sys.stdin):
    with contextlib.suppress(SystemExit):
        main(words)
    print("IMPORTED", *words, file=sys.stderr)
    print(*sys.modules, file=sys.stderr)
"""


def test_help_names_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for command in (*LIGHTNING_COMMANDS, *COMMANDS):
        assert f"\n  {command} " in shown
    assert run() == 2


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"moe-mat {version('moe_mat')}\n"


@pytest.mark.parametrize("words", FUNCTIONS, ids=" ".join)
def test_help_explains_every_argument(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    positional, _, options = shown.partition("options:")
    for name, parameter in inspect.signature(FUNCTIONS[words], eval_str=True).parameters.items():
        kind = parameter.annotation
        if parameter.kind is not parameter.KEYWORD_ONLY:
            assert re.search(rf"\b{name} [^(]", positional.partition("positional arguments:")[2]), name
        for option in [field.name for field in fields(kind)] if is_dataclass(kind) else [name]:
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert re.search(rf"--{option}\+? \S+ [^(-]", options), option


def test_help_imports_nothing_heavy() -> None:
    calls = [
        ["--version"],
        ["--help"],
        *([*words, "--help"] for words in FUNCTIONS),
        *([name, "--help"] for name in (*COMMANDS, *LIGHTNING_COMMANDS)),
    ]
    result = subprocess.run(
        [sys.executable, "-c", LOADED], input=json.dumps(calls), capture_output=True, text=True, check=True
    )
    said = iter(result.stderr.splitlines())
    for words in calls:
        assert next(said) == f"IMPORTED {' '.join(words)}"
        assert not HEAVY & {*next(said).split()}, words
