"""What the documentation shows is there, and does what it says."""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from moe_mat import MoERegressor, load_expert
from moe_mat.cli.main import main
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.encoders.registry import ENCODERS
from moe_mat.mixture.heads.base import HEADS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_table_of_rooms_is_complete() -> None:
    listed = re.findall(r"^\| `([\w/]+(?:\.py|/))` \|", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    rooms = {f"{path.parent.name}/" for path in (ROOT / "moe_mat").glob("*/__init__.py")}
    files = {path.name for path in (ROOT / "moe_mat").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert sorted(listed) == sorted(rooms | files)


def test_every_option_shown_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {option for page in PAGES for option in re.findall(r"--\w+[.\w]*", page.read_text(encoding="utf-8"))}
    main(["fit", "--help.trainer"])
    known = capsys.readouterr().out
    for command in (["fit"], ["predict"], ["embed"], ["pretrain"], ["experts", "import"], ["experts", "list"]):
        with suppress(SystemExit):
            main([*command, "--help"])
        known += capsys.readouterr().out
    options = {
        option for option in shown if option.startswith(("--data.", "--model.", "--trainer.", "--ckpt", "--out"))
    }
    assert len(options) > 10
    assert not [option for option in options if not re.search(rf"{re.escape(option)}\b", known)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_shown_are_public(page: Path) -> None:
    for code in blocks(page, "python"):
        for line in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)):
            if str(line.module).partition(".")[0] == "moe_mat":
                assert {name.name for name in line.names} <= {*import_module(str(line.module)).__all__}, line.module


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (extraction,) = re.findall(r"^command=(\$\(.*\))$", script, flags=re.M)
    found = subprocess.run(["bash", "-c", f"echo {extraction}"], cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = (block for block in blocks(ROOT / "README.md", "bash") if "pytest" in block)
    assert found.stdout == command
    assert 'pip install "torch==' in command


def test_the_encoder_of_the_guide_is_an_expert(tmp_path: Path) -> None:
    page = ROOT / "docs" / "add-an-expert.md"
    (code,) = (block for block in blocks(page, "python") if "register_encoder" in block)
    card, *_ = blocks(page, "yaml")
    (name,) = re.findall(r"# .*/(\w+\.yaml)", card)
    (tmp_path / name).write_text(card, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "my_package.mean_mass"}
    exec(code, names)
    try:
        salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        expected = [[(132.905 + 35.453) / 2, (132.905 - 35.453) / 2]]
        np.testing.assert_allclose(load_expert(tmp_path).embed([salt, salt])[:1], expected, rtol=1e-3)
        structures, table = load_quickstart()
        model = MoERegressor([str(tmp_path), "magpie"], n_members=1, max_epochs=2, random_state=0)
        model.fit(structures[:20], table["bulk_modulus"][:20])
        assert set(model.gate_weights_.index) == {"mean_mass", "magpie"}
    finally:
        ENCODERS.classes.pop("atomic_mass", None)


def test_the_head_of_the_guide_is_one(tmp_path: Path) -> None:
    code, *_ = blocks(ROOT / "docs" / "add-a-head.md", "python")
    module = sys.modules["my_package_ridge"] = ModuleType("my_package_ridge")
    exec(code, module.__dict__)
    try:
        structures, table = load_quickstart()
        settings: dict[str, Any] = {"experts": ["magpie", "structure_features"], "head": "ridge", "random_state": 0}
        model = MoERegressor(**settings, head_settings={"penalty": 3.0}, n_members=2, max_epochs=4)
        model.fit(structures[:40], table["bulk_modulus"][:40])
        errors = np.abs(model.predict(structures[40:]) - table["bulk_modulus"][40:])
        assert errors.mean() < np.abs(table["bulk_modulus"][40:] - table["bulk_modulus"][:40].median()).mean()
        assert model.members_[0].head.settings.penalty == 3.0
        assert model.gate_weights_.sum() == pytest.approx(1)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(structures), model.predict(structures))
        with pytest.raises(ValueError, match=r"head 'ridge' has no setting hidden; its settings are .*penalty"):
            MoERegressor(**settings, hidden=(3,)).fit(structures, table["bulk_modulus"])
    finally:
        HEADS.classes.pop("ridge", None)
        del sys.modules["my_package_ridge"]
