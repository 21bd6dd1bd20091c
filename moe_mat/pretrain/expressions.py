"""Expressions of recipes: arithmetic and comparisons of the columns of a table, and nothing else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.pretrain.errors import RecipeError

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
