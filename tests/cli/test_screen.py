"""How commands speak: JSON for programs, nothing for who wants quiet, one counted line for each kind of warning."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.own_runs import N_CRYSTALS, Run, checkpoint, small, write_csv
from cli.shells import shell

ROUNDED = "Issues encountered while parsing CIF: "


@pytest.fixture
def model(run: Run, own: list[str]) -> Path:
    assert run("fit", *small(), *own) == 0
    return checkpoint()


def summary(*arguments: object) -> dict[str, Any]:
    """What a command says to a program."""
    result = shell(*arguments, "--json")
    content = json.loads(result.stdout)
    assert (content["command"], content["status"]) == (str(arguments[0]), result.returncode)
    return content


def test_every_command_speaks_json(model: Path, own: list[str], tmp_path: Path) -> None:
    fitted = summary("fit", *small(), *own)
    assert fitted["rows"] == {"train": 14, "val": 3, "test": 3}
    assert {row["part"] for row in fitted["metrics"]} == {"train", "val", "test"}
    assert Path(fitted["checkpoint"]).is_file()
    assert sum(fitted["gate_weights"].values()) == pytest.approx(1)
    for command, part in (("test", "test"), ("validate", "val")):
        (row,) = summary(command, *own, "--ckpt_path", fitted["checkpoint"])["metrics"]
        assert row["part"] == part
    assert summary("predict", *own[:2], "--ckpt_path", model)["rows"] == N_CRYSTALS
    assert summary("embed", own[1], "--experts", "magpie")["experts"] == ["magpie"]
    audited = summary("audit", own[1], "--target", "bulk_modulus", "--experts", "magpie")
    assert audited["crystals_counted"] == N_CRYSTALS
    assert summary("experts", "verify", "magpie")["experts"] == {"magpie": "ok"}
    assert summary("experts", "show", "magpie")["experts"][0]["tag"] == "magpie"
    assert "magpie" in {one["tag"] for one in summary("experts", "list")["experts"]}
    assert summary("cache", "list")["spaces"]
    assert summary("data", "list")["tasks"]
    assert summary("cache", "clear", "no such space")["removed"] == 0


def test_errors_are_json_too(own: list[str]) -> None:
    content = summary("fit", "missing.csv", "--target", "y")
    assert content["status"] == 1
    assert "missing.csv" in content["error"]
    assert summary("fit", "--hed", "mlp")["status"] == 2


def test_quiet_says_nothing_and_verbose_more(model: Path, own: list[str]) -> None:
    arguments = ["fit", *small(), *own]
    quiet, normal, verbose = (shell(*arguments, *manner) for manner in (["--quiet"], [], ["--verbose"]))
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert len(verbose.stderr.splitlines()) > len(normal.stderr.splitlines()) > 0
    failed = ["fit", "missing.csv", "--target", "y"]
    assert len(shell(*failed, "--quiet").stderr.splitlines()) == 1
    assert "Traceback" in shell(*failed, "--verbose").stderr
    assert shell(*failed, "--quiet", "--json").returncode == 2


def test_warnings_of_a_kind_are_one_counted_line(model: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "table")
    result = shell("predict", path, "--ckpt_path", model)
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"warning: {ROUNDED}")
    assert line.endswith("warnings of this kind)")
    assert "dirpath" not in result.stderr


def test_a_terminal_sees_no_bar_of_short_work(own: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "moe_mat", "fit", *small(**{"trainer.max_epochs": 40}), *own]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(60) == 0
    assert b"crystals in the cache" in shown
    assert b"%" not in shown
    assert b"\x1b[2K" not in shown  # a line that is drawn anew
