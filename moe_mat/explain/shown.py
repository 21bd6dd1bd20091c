"""An explanation of one crystal as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from moe_mat.explain.account import Explanation
from moe_mat.explain.seen import SEEN
from moe_mat.mixture.predicted import OUTSIDE

# Experts below this share are counted together.
LEAST_SHARE = 0.02
MOST_EXPERTS = 10


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
    value, std, low, high = (crystal[f"{target}_{name}"] for name in ("predicted", "std", "lower", "upper"))
    interval = "; too few crystals were held out for an interval"
    if pd.notna(std):
        interval = f"; {level:.0%} interval {low:.4g} to {high:.4g}, standard deviation {std:.2g}"
    return f"  {target}: {value:.4g}{interval}"


def _domain(crystal: pd.Series, target: str) -> str:
    percentile, beyond = crystal[f"{target}_percentile"], crystal["composition_beyond"]
    if pd.isna(percentile):
        return "  domain: not known"
    reasons = [f"farther than {OUTSIDE:.0f} %"] if percentile > OUTSIDE else []
    reasons += ["its composition is beyond those of the training"] if beyond > 0 else []
    verdict = f"outside ({' and '.join(reasons)})" if crystal[f"{target}_outside"] else "inside"
    return (
        f"  domain: {verdict}; percentile {percentile:.0f}, the share of training crystals that are nearer to their "
        "nearest neighbour than this one is to its own"
    )


def _table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    made = [Column(name, justify="right" if name in numbers else "left", overflow="fold") for name in columns]
    return Table(*made, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def _neighbours(rows: pd.DataFrame, title: str, target: str) -> Table:
    table = _table(title, "crystal", "formula", target, "distance", numbers=(target, "distance"))
    for row in rows.itertuples():
        value = "" if pd.isna(row.value) else f"{row.value:.4g}"
        table.add_row(escape(str(row.neighbour)), escape(row.formula or ""), value, f"{row.distance:.3f}")
    return table


def _experts(rows: pd.DataFrame, of_target: str) -> Table:
    has_shares = bool(rows["share"].notna().any())
    by = "share" if has_shares else "gate_weight"
    rows = rows.sort_values(by, ascending=False)
    few = rows[rows[by] >= LEAST_SHARE].head(MOST_EXPERTS)
    others = rows.drop(few.index)
    names = ("gate weight", "share of distance", "to the nearest")[: 3 if has_shares else 1]
    title = f"where the distance comes from{of_target}" if has_shares else f"weights of the experts{of_target}"
    table = _table(title, "expert", *names, numbers=names)
    columns = ["gate_weight", "share", "share_of_nearest"][: len(names)]
    for _, row in few.iterrows():
        table.add_row(row["expert"], *(_percent(row[name]) for name in columns))
    if len(others):
        table.add_row(f"{len(others)} others", *(_percent(others[name].sum(min_count=1)) for name in columns))
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
    for row in rows.sort_values("property", kind="stable").itertuples():
        error = "" if pd.isna(row.usual_error) else f"{row.usual_error:.2g}"
        unit = "" if pd.isna(row.unit) else str(row.unit)
        table.add_row(row.property.replace("_", " "), f"{row.value:.3g}", unit, error, row.expert, row.source)
    return table


def _seen(rows: pd.DataFrame) -> Table:
    table = _table(
        "who has been trained on it",
        "experts",
        "learned",
        "this crystal",
        "and its label",
        "its formula",
        "and its label ",
    )
    known = rows.fillna({"learned": "", "not_listed": ""})
    for values, some in known.groupby(["learned", "not_listed", *SEEN], sort=False, dropna=False):
        learned, not_listed, *flags = values
        tags = some["expert"].tolist()
        others = f" +{len(tags) - 1}" if len(tags) > 1 else ""
        if not learned and not not_listed:
            cells = ["-"] * len(flags)
        else:
            cells = ["?" if pd.isna(flag) else "yes" if flag else "no" for flag in flags]
        what = learned or "nothing"
        table.add_row(f"{tags[0]}{others}", what + (f" (also {not_listed})" if not_listed and learned else ""), *cells)
    return table
