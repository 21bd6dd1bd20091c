"""The figures of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.cells import Result
from benchmarks.protocols import card_of, unit_of

COLOURS = ("#1f5f8b", "#e0a458", "#5a9e6f", "#b5515c", "#7a6fae", "#6b7885", "#c9789b", "#3aa6a6", "#8c6d46")
INK = "#1c2733"
WEIGHTS = LinearSegmentedColormap.from_list("weights", ["#ffffff", "#cfe3f0", "#5b9dc9", "#1f5f8b", "#0d2f49"])
# Experts that no task gives more than this share one column.
SMALL_WEIGHT = 0.03


def bars(table: pd.DataFrame, methods: Sequence[str], *, published: str, path: Path) -> None:
    """Test MAE of each method over a published one, task by task.

    Args:
        table: of `benchmarks.scores.by_task`, tasks with a published number only.
        methods: to show.
        published: the method that is 1.
        path: PNG file.
    """
    tasks = list(dict.fromkeys(table.index.get_level_values("task")))
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(methods)
    for number, method in enumerate(methods):
        for position, task in enumerate(tasks):
            if (task, method, 0) not in table.index:
                continue
            reference = card_of(task).published[published].mean
            row = table.loc[(task, method, 0)]
            error = row["sd"] / reference / math.sqrt(row["splits"]) if np.isfinite(row["sd"]) else 0
            axes.barh(
                position + (number - (len(methods) - 1) / 2) * height,
                row["mean"] / reference,
                height=0.9 * height,
                xerr=error,
                color=_colour(number),
                error_kw={"elinewidth": 0.8, "ecolor": INK},
            )
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(tasks)), [card_of(task).title for task in tasks])
    axes.invert_yaxis()
    axes.set(xlabel=f"test MAE / test MAE of {published} (error bars: standard error over splits)")
    handles = [Line2D([], [], color=_colour(i), linewidth=6, label=method) for i, method in enumerate(methods)]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(methods), 5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def heat_map(weights: pd.DataFrame, *, title: str, path: Path) -> None:
    """Gate weights, a row a task and a column an expert; experts that are small everywhere are summed up.

    Args:
        weights: of `benchmarks.scores.gate_weights`.
        title: above the map.
        path: PNG file.
    """
    large = [tag for tag in weights if weights[tag].max() >= SMALL_WEIGHT]
    shown = weights[sorted(large, key=lambda tag: -weights[tag].mean())].copy()
    if len(large) < weights.shape[1]:
        shown[f"other {weights.shape[1] - len(large)}"] = weights.drop(columns=large).sum(axis=1)
    n_rows, n_columns = shown.shape
    figure = Figure(figsize=(3.2 + 0.46 * n_columns, 2.0 + 0.34 * n_rows), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shown.to_numpy(), cmap=WEIGHTS, vmin=0, vmax=max(0.3, shown.to_numpy().max()), aspect="auto")
    axes.set_xticks(range(n_columns), list(shown), rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n_rows), [card_of(task).title for task in shown.index])
    for row in range(n_rows):
        for column in range(n_columns):
            value = shown.iat[row, column]
            if value >= 0.01:
                colour = "white" if value > 0.55 * image.norm.vmax else INK
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_title(title, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="mean gate weight", shrink=0.8, aspect=25, pad=0.02).outline.set_visible(
        False
    )
    _save(figure, path)


def parity(results: Mapping[str, Sequence[Result]], *, path: Path) -> None:
    """Predicted against true test values, one panel a task, all its splits.

    Args:
        results: task -> results with predictions.
        path: PNG file.
    """
    columns = min(4, len(results))
    rows = math.ceil(len(results) / columns)
    figure = Figure(figsize=(3 * columns, 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (task, found) in zip(panels, results.items(), strict=False):
        true, predicted = (np.concatenate([result[key] for result in found]) for key in ("targets", "predictions"))
        limits = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
        axes.plot(limits, limits, color=INK, linewidth=0.8, zorder=0)
        axes.scatter(true, predicted, s=7, alpha=0.45, linewidths=0, color=COLOURS[0], rasterized=True)
        axes.set_title(card_of(task).title, fontsize=9)
        unit = unit_of(task)
        axes.set_xlabel("true" if unit == "1" else f"true, {unit}")
        axes.set_ylabel("predicted")
        r2 = 1 - ((true - predicted) ** 2).sum() / max(((true - true.mean()) ** 2).sum(), 1e-300)
        note = f"MAE {np.abs(true - predicted).mean():.3g}\nR² {r2:.2f}"
        axes.text(0.05, 0.95, note, transform=axes.transAxes, va="top", fontsize=8)
        axes.set_aspect("equal", adjustable="datalim")
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    _save(figure, path)


def learning_curves(table: pd.DataFrame, *, all_labels: Mapping[str, int], path: Path) -> None:
    """Test MAE against number of labels, one panel a task, one line a method.

    Args:
        table: of `benchmarks.scores.by_task`, tasks with few-label results only.
        all_labels: task -> number of training and validation labels there are.
        path: PNG file.
    """
    tasks = list(dict.fromkeys(table.index.get_level_values("task")))
    methods = list(dict.fromkeys(table.index.get_level_values("method")))
    columns = min(4, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(3.1 * columns, 2.7 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, task in zip(panels, tasks, strict=False):
        for number, method in enumerate(methods):
            if (task, method) not in table.index.droplevel("n_labels"):
                continue
            points = table.loc[(task, method)]
            labels = [count or all_labels[task] for count in points.index]
            order = np.argsort(labels)
            style = {"color": _colour(number), "marker": "o", "markersize": 4, "linewidth": 1.4, "capsize": 2}
            axes.errorbar(
                np.array(labels)[order],
                points["mean"].to_numpy()[order],
                points["sd"].fillna(0).to_numpy()[order],
                **style,
            )
        axes.set(xscale="log", yscale="log", xlabel="labels")
        axes.set_title(card_of(task).title, fontsize=9)
        unit = unit_of(task)
        axes.set_ylabel("test MAE" if unit == "1" else f"test MAE, {unit}")
        axes.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(mpl.ticker.LogFormatter(minor_thresholds=(1.2, 0.4)))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], color=_colour(i), marker="o", markersize=4, label=name) for i, name in enumerate(methods)]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(methods), 6), frameon=False)
    _save(figure, path)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.size": 9}):
        figure.savefig(path, dpi=150)
