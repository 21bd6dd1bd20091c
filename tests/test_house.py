"""The house rules: short files and functions, few parameters, typed signatures."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for room in ("moe_mat", "benchmarks", "tests", "experts") for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 10
# What a user writes, and so is written out.
PUBLIC_CONSTRUCTORS = {"mixture_estimator.py: MixtureEstimator.__init__"}
# Methods of Python, torch and Lightning, whose signatures are theirs.
OVERRIDDEN = {"__setstate__", "_load_from_state_dict", "load_state_dict", "on_load_checkpoint", "on_save_checkpoint"}
# Where the content of YAML files is made into objects.
READERS = {"recipes.py", "hub_recipes.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Every function of a file, methods with the name of their class."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield f"{path.name}: {prefix}{child.name}", child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def parameters(function: Function) -> list[ast.arg]:
    found = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [one for one in found if one.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    lengths = {name: int(one.end_lineno or 0) - one.lineno + 1 for name, one in functions(path)}
    assert not {
        name: lines
        for name, lines in lengths.items()
        if lines > MOST_LINES_OF_A_FUNCTION and name not in PUBLIC_CONSTRUCTORS
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_take_few_parameters(path: Path) -> None:
    counts = {name: len(parameters(one)) for name, one in functions(path)}
    assert not {n: count for n, count in counts.items() if count > MOST_PARAMETERS and n not in PUBLIC_CONSTRUCTORS}


@pytest.mark.parametrize(
    "path", [path for path in FILES if "tests" not in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_signatures_say_what_they_take(path: Path) -> None:
    """No ``dict[str, Any]`` that anybody may fill, except where a YAML file is read."""
    untyped = [
        f"{name}({one.arg})"
        for name, function in functions(path)
        if function.name not in OVERRIDDEN and not (path.name in READERS and function.name.startswith("_"))
        for one in parameters(function)
        if one.annotation is not None and ast.unparse(one.annotation) in ("dict[str, Any]", "dict[str, Any] | None")
    ]
    assert not untyped
