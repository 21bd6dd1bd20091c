"""Pretraining recipes: which source data are read, how they are cleaned, and which experts are trained on them."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pandas as pd
import yaml

from moe_mat.zoo.card_files import zoo_folder

OF_SOURCE = ("dataset", "file", "license", "citation", "targets", "fractions", "seed")

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class RecipeError(ValueError):
    """A recipe that cannot be read or does not fit its data; the message names the recipe and the entry."""


def expression_columns(expression: str) -> list[str]:
    """The columns that an expression reads.

    Raises:
        RecipeError: When it is anything but arithmetic and comparisons of columns and numbers.

    Example:
        >>> expression_columns("1 < bulk_modulus / 10 < volume")
        ['bulk_modulus', 'volume']
    """
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise RecipeError(f"{expression!r} is not an expression: {error.msg}") from error
    allowed = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Load, *_OPERATORS)
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if not number and not isinstance(node, allowed):
            raise RecipeError(
                f"{expression!r} holds a {type(node).__name__}: only columns, numbers, + - * / ** < <= > >= are known"
            )
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return sorted(set(names))


def evaluate_expression(expression: str, table: pd.DataFrame) -> np.ndarray:
    """Arithmetic and comparisons of columns, row by row.

    Returns:
        ``[n_rows]`` float64; comparisons are 0 and 1; NaN where one of the columns has no value.

    Example:
        >>> evaluate_expression("1 < x < 3", pd.DataFrame({"x": [0.0, 2.0, float("nan")]}))
        array([ 0.,  1., nan])
    """
    columns = expression_columns(expression)

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Compare):
            terms = [value(term) for term in (node.left, *node.comparators)]
            steps = zip(node.ops, terms, terms[1:], strict=False)
            return reduce(operator.and_, (_OPERATORS[type(op)](left, right) for op, left, right in steps))
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            return _OPERATORS[type(node.op)](value(node.operand))
        return table[node.id].to_numpy(float) if isinstance(node, ast.Name) else node.value  # type: ignore[attr-defined]

    with np.errstate(all="ignore"):
        result = np.broadcast_to(np.asarray(value(ast.parse(expression, mode="eval").body), dtype=float), len(table))
    missing = table[columns].isna().any(axis=1).to_numpy()
    return np.where(missing | ~np.isfinite(result), np.nan, result)


@dataclass(frozen=True, kw_only=True)
class SourceTarget:
    """A property of the source data, and how its values are cleaned.

    Attributes:
        name: What its experts are called after.
        property: The property, as cards name it.
        unit: Of the values; ``None`` for numbers without one.
        value: Expression over the columns of the data; by default the column named like the property.
        keep: Conditions over the columns; a value for which one does not hold is removed, and counted.
        limits: Smallest and largest value; values beyond are set to the limit, and counted.
        transform: ``log`` for networks to learn ``ln(value + shift)``.
        shift: In the unit.
    """

    name: str
    property: str
    unit: str | None = None
    value: str
    keep: tuple[str, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)
    transform: Literal["none", "log"] = "none"
    shift: float = 0.0

    def columns(self) -> set[str]:
        """Columns of the data that it needs."""
        return {name for expression in (self.value, *self.keep) for name in expression_columns(expression)}

    def clean(self, table: pd.DataFrame) -> tuple[np.ndarray, dict[str, int]]:
        """The values of a table's rows ``[n_rows]``, NaN where there is none, and how many each rule concerned.

        Raises:
            RecipeError: When the rules leave values of which there is no logarithm.
        """
        values = evaluate_expression(self.value, table)
        counts = {"values": int(np.isfinite(values).sum())}
        for condition in self.keep:
            fails = np.isfinite(values) & ~(evaluate_expression(condition, table) == 1)
            counts[f"removed, not {condition}"] = int(fails.sum())
            values = np.where(fails, np.nan, values)
        for limit, beyond, at_limit in zip(self.limits, (np.less, np.greater), ("below", "above"), strict=True):
            if limit is not None:
                outside = beyond(values, limit)
                counts[f"set to {limit:g} from {at_limit}"] = int(outside.sum())
                values = np.where(outside, limit, values)
        if self.transform == "log" and (n_bad := int((values + self.shift <= 0).sum())):
            raise RecipeError(
                f"target {self.name}: {n_bad} values plus the shift {self.shift:g} are not positive, and transform is "
                "'log': remove them with 'keep', or set 'limits' or another 'shift'"
            )
        return values, counts

    def bend(self, values: np.ndarray) -> np.ndarray:
        """From the unit to what networks learn."""
        return np.log(values + self.shift) if self.transform == "log" else values

    def unbend(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `bend`."""
        return np.exp(values) - self.shift if self.transform == "log" else values


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one kind of expert is trained.

    Attributes:
        max_atoms: Larger cells are left out, and counted.
        max_epochs: Length of the one-cycle schedule.
        patience: Epochs without a better validation loss after which training stops; ``None`` never stops.
        batch_size: Crystals in a batch; batches of graphs hold equal numbers of atoms.
        learning_rate: Largest of the one-cycle schedule.
        weight_decay: Of AdamW.
        settings: What this kind of expert needs beside.
    """

    max_atoms: int | None = None
    max_epochs: int = 30
    patience: int | None = None
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """A source of data and the experts trained on it.

    Attributes:
        name: The first word of the experts' tags.
        dataset: Name of the data.
        file: Prepared file or any readable one, relative to the folder of the data.
        license: Of the data.
        citation: Of the data.
        fractions: Shares of training, validation and test crystals.
        seed: Of the split and of every training.
        targets: By name.
        networks: Property networks on a trunk, in groups that share a body.
        cgcnn: CGCNN experts, one a target.
    """

    name: str
    dataset: str
    file: str
    license: str
    citation: str
    targets: dict[str, SourceTarget]
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    networks: Training | None = None
    cgcnn: Training | None = None


def read_valid(path: Path, schema: str) -> dict[str, Any]:
    """The content of a recipe file that fits a schema of the zoo.

    Raises:
        RecipeError: When the file is missing, is not YAML or does not fit the schema; names file and entry.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    validator = jsonschema.Draft202012Validator(json.loads((zoo_folder() / schema).read_text(encoding="utf-8")))
    problems = [f"{error.json_path.removeprefix('$.')}: {error.message}" for error in validator.iter_errors(content)]
    if problems:
        raise RecipeError(f"the recipe {path} is not valid: {'; '.join(problems)}")
    return content


def read_recipe(path: str | Path) -> SourceRecipe:
    """Read and validate a recipe, see ``experts/recipe.schema.json``; one that names a source has it beside it.

    Raises:
        RecipeError: When the file is missing, is not YAML or does not fit the schema; names file and entry.
    """
    path = Path(path)
    content = read_valid(path, "recipe.schema.json")
    try:
        if (name := content.pop("source", None)) is not None:
            source = read_valid(path.with_name(f"{name}.yaml"), "recipe.schema.json")
            if "source" in source:
                raise RecipeError(f"source {name} takes its data from {source['source']}: name that")
            content = {field: source[field] for field in OF_SOURCE if field in source} | content
        targets = {name: _target(name, entry) for name, entry in content.pop("targets").items()}
        used = [name for kind in ("networks", "cgcnn") for name in _trained(content.get(kind))]
        if unknown := sorted(set(used) - set(targets)):
            raise RecipeError(f"{', '.join(unknown)}: no such target; there are {', '.join(targets)}")
        for kind in ("networks", "cgcnn"):
            if kind in content:
                content[kind] = training_of(content[kind])
        if "fractions" in content:
            content["fractions"] = tuple(content["fractions"])
        return SourceRecipe(targets=targets, **content)
    except RecipeError as error:
        raise RecipeError(f"the recipe {path} is not valid: {error}") from error


def _target(name: str, entry: dict[str, Any] | None) -> SourceTarget:
    entry = dict(entry or {})
    entry.setdefault("property", name)
    entry.setdefault("value", entry["property"])
    entry["keep"] = tuple(entry.get("keep", ()))
    entry["limits"] = tuple(entry.get("limits", (None, None)))
    target = SourceTarget(name=name, **entry)
    target.columns()  # the expressions are sound
    return target


def _trained(entry: dict[str, Any] | None) -> list[str]:
    """Targets of a part of the recipe."""
    if entry is None:
        return []
    return [*entry.get("targets", []), *(name for group in entry.get("groups", {}).values() for name in group)]


def training_of(entry: dict[str, Any]) -> Training:
    """The part of a recipe that says how one kind of expert is trained."""
    general = {field.name for field in fields(Training)} - {"settings"}
    settings = {name: value for name, value in entry.items() if name not in general}
    return Training(settings=settings, **{name: value for name, value in entry.items() if name in general})
