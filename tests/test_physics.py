"""What every expert of physics promises: each number has a name, a unit and a formula, and is documented."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from moe_mat.encoders import PhysicsEncoder
from moe_mat.encoders.registry import ENCODERS

ROOM = "moe_mat.encoders.physics."
PAGE = (Path(__file__).parents[1] / "docs" / "physics.md").read_text(encoding="utf-8")
NAMES = [name for name, module in ENCODERS.built_in.items() if module.startswith(ROOM)]


def encoder_class(name: str) -> type[PhysicsEncoder]:
    found = ENCODERS.get(name)
    assert issubclass(found, PhysicsEncoder)
    return found


def test_all_experts_of_physics_are_found() -> None:
    assert {"layer_stack", "elasticity"} <= {*NAMES}
    for name in NAMES:
        assert import_module(ENCODERS.built_in[name]).__name__.startswith(ROOM)


@pytest.mark.parametrize("name", NAMES)
def test_each_number_has_a_name_a_unit_and_a_formula(name: str) -> None:
    for layer, numbers in encoder_class(name).quantities.items():
        names = [quantity.name for quantity in numbers]
        assert len({*names}) == len(names), layer
        for quantity in numbers:
            assert quantity.name
            assert quantity.unit
            assert quantity.formula


@pytest.mark.parametrize("name", NAMES)
def test_each_number_is_documented(name: str) -> None:
    for numbers in encoder_class(name).quantities.values():
        for quantity in numbers:
            assert f"| {quantity.name} | {quantity.unit} | {quantity.formula} |" in PAGE
