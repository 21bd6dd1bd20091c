"""``moe-mat experts``: list, show, verify, import."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from toy_experts import cgcnn_expert

from cli.own_runs import Run


def test_experts_are_listed_shown_and_verified(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "zoo"
    card = cgcnn_expert(folder, "toy")
    assert run("experts", "list", "--folder", folder) == 0
    assert "toy" in capsys.readouterr().out
    assert run("experts", "show", folder) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(card.path.read_text())
    assert run("experts", "verify", folder) == 0
    assert capsys.readouterr().out.split() == ["ok", "toy"]
    assert card.weights_file is not None
    card.weights_file.write_bytes(card.weights_file.read_bytes()[:-8])
    assert run("experts", "verify", folder, "magpie") == 1
    shown = capsys.readouterr()
    assert "FAILED  toy" in shown.out
    assert "ok      magpie" in shown.out
    assert "1 experts failed: toy" in shown.err
