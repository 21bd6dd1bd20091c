"""An explanation of one crystal as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from moe_mat.explain.account import Explanation
from moe_mat.explain.seen import SEEN, some_of
from moe_mat.mixture.predicted import OUTSIDE

# Experts below this share are counted together.
LEAST_SHARE = 0.02
MOST_EXPERTS = 10
# Classes whose probability is told beside that of the predicted one.
MOST_CLASSES = 3


def shown(told: Explanation) -> Iterator[RenderableType]:
    """What is told of each crystal, one after the other.

    Args:
        told: Of a few crystals.
    """
    for name in told.crystals["material_id"]:
        one = told.of(name)
        yield from _crystal(one)


def _crystal(told: Explanation) -> Iterator[RenderableType]:
    crystal = told.crystals.iloc[0]
    learned = ", which the model has learned from" if crystal["in_sample"] else ""
    yield Text.from_markup(f"\n[bold]{escape(crystal['material_id'])}[/bold], {escape(crystal['formula'])}{learned}")
    for target in told.targets:
        yield Text(_prediction(crystal, target, told.level))
        yield Text(_domain(crystal, target))
    for target in told.targets:
        of_target = "" if len(told.targets) == 1 else f" for {target}"
        if len(told.neighbours):
            rows = told.neighbours[told.neighbours["target"] == target]
            yield _neighbours(rows, f"nearest training crystals{of_target}", target)
        yield _experts(told.experts[told.experts["target"] == target], of_target)
    if len(told.networks):
        yield _networks(told.networks)
    yield from (_seen(rows) for _, rows in told.seen.groupby("target", sort=False))


def _prediction(crystal: pd.Series, target: str, level: float) -> str:
    if isinstance(crystal[f"{target}_predicted"], str):
        return _class(crystal, target)
    value, std, low, high = (crystal[f"{target}_{name}"] for name in ("predicted", "std", "lower", "upper"))
    interval = "; too few crystals were held out for an interval"
    if pd.notna(std):
        interval = f"; {100 * level:g} % interval {low:.4g} to {high:.4g}, standard deviation {std:.2g}"
    return f"  {target}: {value:.4g}{interval}"


def _class(crystal: pd.Series, target: str) -> str:
    """The predicted class and the most probable others."""
    beginning, predicted = f"{target}_p_", crystal[f"{target}_predicted"]
    probabilities = {
        name.removeprefix(beginning): crystal[name] for name in crystal.index if name.startswith(beginning)
    }
    others = sorted((name for name in probabilities if name != predicted), key=lambda name: -probabilities[name])
    listed = [f"{name} {probabilities[name]:.0%}" for name in others[:MOST_CLASSES]]
    listed += [f"{len(others) - MOST_CLASSES} others"] if len(others) > MOST_CLASSES else []
    return f"  {target}: {predicted}, with a probability of {probabilities[predicted]:.0%}; {', '.join(listed)}"


def _domain(crystal: pd.Series, target: str) -> str:
    percentile = crystal[f"{target}_percentile"]
    if pd.isna(percentile):
        return "  domain: not known"
    where = "outside" if crystal[f"{target}_outside"] else "inside"
    distance = f"farther from its nearest training crystal than {percentile:.0f} % of those are from theirs"
    strange = "; its composition is unlike all of theirs" if crystal["composition_beyond"] > 0 else ""
    limit = f" ({OUTSIDE:.0f} % is the limit)" if where == "inside" or not strange else ""
    return f"  domain: {where}; {distance}{limit}{strange}"


def _table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    made = [Column(name, justify="right" if name in numbers else "left", overflow="fold") for name in columns]
    return Table(*made, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def _neighbours(rows: pd.DataFrame, title: str, target: str) -> Table:
    of_class = rows["value"].dtype == object
    numbers = ("distance",) if of_class else (target, "distance")
    table = _table(title, "crystal", "formula", target, "distance", numbers=numbers)
    for row in rows.to_dict("records"):
        value = "" if pd.isna(row["value"]) else row["value"] if of_class else f"{row['value']:.4g}"
        table.add_row(
            escape(str(row["neighbour"])), escape(row["formula"] or ""), escape(value), f"{row['distance']:.3f}"
        )
    return table


def _experts(rows: pd.DataFrame, of_target: str) -> Table:
    has_shares = bool(rows["share"].notna().any())
    by = "share" if has_shares else "gate_weight"
    rows = rows.sort_values(by, ascending=False)
    few = rows[rows[by] >= LEAST_SHARE].head(MOST_EXPERTS)
    others = rows.drop(few.index)
    shown = {"gate weight": "gate_weight"}
    if has_shares:
        shown |= {"share of the distance to the nearest": "share_of_nearest", "to all of them": "share"}
    title = f"which experts tell it from them{of_target}" if has_shares else f"weights of the experts{of_target}"
    table = _table(title, "expert", *shown, numbers=tuple(shown))
    for _, row in few.iterrows():
        table.add_row(row["expert"], *(_percent(row[name]) for name in shown.values()))
    if len(others):
        several = f"{len(others)} other{'s' if len(others) > 1 else ''}"
        table.add_row(several, *(_percent(others[name].sum(min_count=1)) for name in shown.values()))
    return table


def _percent(share: float) -> str:
    return "" if pd.isna(share) else f"{share:.0%}"


def _networks(rows: pd.DataFrame) -> Table:
    table = _table(
        "what source networks predict",
        "property",
        "value",
        "unit",
        "usual error",
        "by",
        "learned from",
        numbers=("value", "usual error"),
    )
    for row in rows.sort_values("property", kind="stable").to_dict("records"):
        error = "" if pd.isna(row["usual_error"]) else f"{row['usual_error']:.2g}"
        unit = "" if pd.isna(row["unit"]) else str(row["unit"])
        value = _as_exactly(row["value"], row["usual_error"])
        table.add_row(str(row["property"]).replace("_", " "), value, unit, error, row["expert"], row["source"])
    return table


def _as_exactly(value: float, error: float) -> str:
    """A value in no more digits than its error leaves it."""
    if not error > 0:
        return f"{value:.3g}"
    return f"{round(value, 1 - math.floor(math.log10(error))) + 0.0:.4g}"


def _seen(rows: pd.DataFrame) -> Table:
    table = _table(
        "which experts have been trained on it", "experts", "same crystal", "with label", "same formula", "with label "
    )
    nothing = rows["learned"].eq("") & rows["not_listed"].eq("")
    for values, some in rows.assign(nothing=nothing).groupby(["nothing", *SEEN], sort=False, dropna=False):
        learned_nothing, *flags = cast(tuple[Any, ...], values)
        cells = ["-" if learned_nothing else "?" if pd.isna(flag) else "yes" if flag else "no" for flag in flags]
        table.add_row(some_of(some["expert"].tolist()), *cells)
    return table
