"""Rooms: what they export is there, and asking for one costs nothing until a name is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "moe_mat"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.pyi"))
HEAVY = {"matplotlib", "pandas", "pyarrow", "pymatgen", "pytorch_lightning", "scipy", "sklearn", "torch"}


def declared(room: str) -> list[str]:
    """The names that type checkers see."""
    *_, last = ast.parse((PACKAGE / room / "__init__.pyi").read_text(encoding="utf-8")).body
    assert isinstance(last, ast.Assign)
    return ast.literal_eval(last.value)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_a_room_has_what_it_exports(room: str) -> None:
    module = import_module(f"moe_mat.{room}".rstrip("."))
    assert sorted(module.__all__) == sorted(declared(room))
    for name in module.__all__:
        assert getattr(module, name) is not None
        # Or whoever has imported the file would get it in place of the name.
        assert not (PACKAGE / room / f"{name}.py").exists(), name
    assert module.__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def test_a_room_costs_nothing_until_a_name_is_used() -> None:
    light = ["moe_mat", *(f"moe_mat.{room}" for room in ROOMS), "moe_mat.crystals.errors"]
    code = f"import sys, {', '.join(light)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
    assert {name for name in loaded if name.startswith("moe_mat.")} == {*light[1:]}
