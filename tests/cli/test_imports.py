"""Which classes a configuration may name: a module is not imported before it is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.own_runs import small
from cli.shells import shell

EVIL = """
import pathlib
pathlib.Path("the code ran").touch()
from pytorch_lightning.callbacks import Callback
class E(Callback):
    pass
"""


@pytest.fixture(autouse=True)
def evil(working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("modules").mkdir()
    Path("modules", "evilmod.py").write_text(EVIL)
    Path("evil.yaml").write_text("trainer: {callbacks: [{class_path: evilmod.E}]}")
    Path("trainer.yaml").write_text("callbacks: [{class_path: evilmod.E}]")
    Path("callbacks.yaml").write_text("class_path: evilmod.E")
    monkeypatch.setenv("PYTHONPATH", "modules")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "--config", "evil.yaml"],
        ["fit", "--trainer.callbacks", "evilmod.E"],
        ["fit", "--trainer.callbacks+=evilmod.E"],
        ["fit", "--trainer", "trainer.yaml"],
        ["fit", "--trainer.callbacks", "callbacks.yaml"],
        ["fit", "--trainer.logger=evilmod.E"],
        ["fit", "--trainer.callbacks=moe_mat.cli.main.evilmod.E"],
    ],
    ids=" ".join,
)
def test_a_class_of_an_unknown_module_is_not_imported(arguments: list[str]) -> None:
    result = shell(*arguments)
    assert result.returncode == 2
    assert not Path("the code ran").exists()
    (line,) = result.stderr.splitlines()
    assert "moe-mat fit: " in line
    if "moe_mat" not in arguments[-1]:
        assert line.startswith("moe-mat fit: evilmod.E is not imported, because that would run code")
        assert "add --allow-import evilmod" in line


def test_an_allowed_module_is(own: list[str]) -> None:
    result = shell("fit", *small(), *own, "--config", "evil.yaml", "--allow-import", "other", "--allow_import=evilmod")
    assert result.returncode == 0, result.stderr
    assert Path("the code ran").exists()


def test_classes_of_lightning_need_no_permission(own: list[str]) -> None:
    callbacks = ["--trainer.callbacks=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
    assert shell("fit", *small(**{"model.head": "mlp"}), *own, *callbacks).returncode == 0


def test_the_name_of_a_module_is_asked_for() -> None:
    result = shell("fit", "--allow-import", "my-file.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert "the name of a module is meant" in result.stderr
