"""The figures of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from benchmarks.cells.results import Result
from benchmarks.reports.bootstrap import Interval
from benchmarks.reports.scores import Key, Scores
from benchmarks.reports.style import COLOURS, GRID, INK, colour, drawn
from moe_mat.tasks import TaskCards

WEIGHTS = LinearSegmentedColormap.from_list("weights", ["#ffffff", "#cfe3f0", "#5b9dc9", "#1f5f8b", "#0d2f49"])
# Experts that no task gives more than this share one column.
SMALL_WEIGHT = 0.03
# A set of experts is named beyond this relative change of its error, or this ratio of times, either way.
NAMED_ERROR, NAMED_TIME = 0.04, 1.5


@drawn
def relative(
    scores: Scores,
    spans: Mapping[Key, Interval],
    *,
    tasks: Sequence[str],
    methods: Sequence[str],
    published: Sequence[str],
    cards: TaskCards,
    path: Path,
) -> tuple[Figure, Path]:
    """Test MAEs over that of the first published method, a row a task.

    Args:
        scores: of the methods.
        spans: intervals of their MAEs.
        tasks: with numbers of the published methods.
        methods: ours, as dots with their intervals; the last one on top of the others.
        published: the method that is 1, and others, as open diamonds.
        cards: of the tasks.
        path: PNG file.
    """
    figure = Figure(figsize=(8.5, 1.6 + 0.36 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    for position, task in enumerate(tasks):
        card = cards.of(task)
        unit = card.published[published[0]].mean
        for other in published[1:]:
            axes.plot(card.published[other].mean / unit, position, "D", mfc="white", mec=INK, markersize=5, zorder=3)
        for number, method in enumerate(methods):
            if Key(task, method) not in scores:
                continue
            mean = scores[Key(task, method)].mean
            low, high = spans.get(Key(task, method), (mean, mean))
            error = [[max(0.0, mean - low) / unit], [max(0.0, high - mean) / unit]]
            last = number == len(methods) - 1
            style: dict[str, Any] = {
                "markersize": 7.5 if last else 5,
                "elinewidth": 1,
                "alpha": 1 if last else 0.8,
                "zorder": 4 + number,
            }
            axes.errorbar(mean / unit, position, xerr=error, fmt="o", color=colour(number), **style)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(tasks)), [cards.of(task).title for task in tasks])
    axes.set_ylim(len(tasks) - 0.4, -0.6)
    axes.set_xlabel(f"test MAE / test MAE of {published[0]}; bars: 95 % intervals")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [_dot(i, method) for i, method in enumerate(methods)]
    handles += [Line2D([], [], marker="D", linestyle="", mfc="white", mec=INK, label=name) for name in published[1:]]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6), frameon=False)
    return figure, path


@drawn
def heat_map(
    weights: Mapping[str, Mapping[str, float]], *, title: str, cards: TaskCards, path: Path
) -> tuple[Figure, Path]:
    """Gate weights, a row a task and a column an expert; experts that are small everywhere are summed up.

    Args:
        weights: task -> expert -> weight.
        title: above the map.
        cards: of the tasks.
        path: PNG file.
    """
    tags = list(dict.fromkeys(tag for of_task in weights.values() for tag in of_task))
    values = np.array([[of_task.get(tag, 0.0) for tag in tags] for of_task in weights.values()])
    large = values.max(axis=0) >= SMALL_WEIGHT
    order = [i for i in np.argsort(-values.mean(axis=0), kind="stable") if large[i]]
    shown, names = values[:, order], [tags[i] for i in order]
    if not large.all():
        shown = np.column_stack([shown, values[:, ~large].sum(axis=1)])
        names.append(f"{(~large).sum()} others")
    n_rows, n_columns = shown.shape
    figure = Figure(figsize=(3.4 + 0.42 * n_columns, 2.0 + 0.32 * n_rows), layout="constrained")
    axes = figure.subplots()
    highest = max(0.3, float(shown.max()))
    image = axes.imshow(shown, cmap=WEIGHTS, vmin=0, vmax=highest, aspect="auto")
    axes.set_xticks(range(n_columns), names, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n_rows), [cards.of(task).title for task in weights])
    for row, column in np.ndindex(shown.shape):
        value = shown[row, column]
        if value >= 0.01:
            colour = "white" if value > 0.5 * highest else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_title(title, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label="mean gate weight", shrink=0.8, aspect=25, pad=0.02)
    bar.outline.set_visible(False)
    return figure, path


@drawn
def overlap_map(
    shares: Mapping[str, np.ndarray], *, tasks: Sequence[str], names: Sequence[str], cards: TaskCards, path: Path
) -> tuple[Figure, Path]:
    """Shares of test crystals that experts have seen, a panel a kind, a row a task and a column a group of experts.

    Args:
        shares: title of a panel -> ``[n_tasks, n_groups]``, NaN where it is not known.
        tasks: of the rows.
        names: of the columns.
        cards: of the tasks.
        path: PNG file.
    """
    height = 0.3 * len(tasks) + 0.4
    figure = Figure(figsize=(4.2 + 0.5 * len(names), 2.0 + len(shares) * height), layout="constrained")
    panels = figure.subplots(len(shares), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, values) in zip(panels, shares.items(), strict=True):
        image = axes.imshow(np.ma.masked_invalid(values), cmap=WEIGHTS, vmin=0, vmax=1, aspect="auto")
        axes.set_facecolor(GRID)
        axes.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(tasks)), [cards.of(task).title for task in tasks])
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            text = "?" if math.isnan(value) else "" if value == 0 else f"{value:.0%}" if value >= 0.005 else "<1%"
            colour = "white" if value > 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
        axes.set_title(title, loc="left")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panels, label="share of test crystals", shrink=0.4, aspect=25, pad=0.02)
    bar.outline.set_visible(False)
    return figure, path


@drawn
def parity(results: Mapping[str, Sequence[Result]], *, cards: TaskCards, path: Path) -> tuple[Figure, Path]:
    """Predicted against true test values, one panel a task, all its splits.

    Args:
        results: task -> results with predictions.
        cards: of the tasks.
        path: PNG file.
    """
    figure, panels = _panels(len(results), width=2.7, height=2.85)
    for axes, (task, found) in zip(panels, results.items(), strict=False):
        true, predicted = (np.concatenate([result[key] for result in found]) for key in ("targets", "predictions"))
        limits = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
        axes.plot(limits, limits, color=INK, linewidth=0.8, zorder=0)
        axes.scatter(true, predicted, s=6, alpha=0.45, linewidths=0, color=COLOURS[0])
        axes.set_title(_wrapped(_title(cards, task)))
        unit = cards.unit(task)
        axes.set_xlabel("true" if unit == "1" else f"true, {unit}")
        axes.set_ylabel("predicted")
        r2 = 1 - ((true - predicted) ** 2).sum() / max(((true - true.mean()) ** 2).sum(), 1e-300)
        note = f"MAE {np.abs(true - predicted).mean():.3g}\nR² {r2:.2f}"
        axes.text(0.05, 0.95, note, transform=axes.transAxes, va="top", fontsize=8)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["top", "right"]].set_visible(False)
    return figure, path


@drawn
def learning_curves(
    curves: Mapping[str, Mapping[str, Mapping[int, tuple[float, float]]]], *, cards: TaskCards, path: Path
) -> tuple[Figure, Path]:
    """Test MAE against number of labels, one panel a task, one line a method.

    Args:
        curves: task -> method -> number of labels -> mean and standard deviation.
        cards: of the tasks.
        path: PNG file.
    """
    methods = list(dict.fromkeys(method for of_task in curves.values() for method in of_task))
    figure, panels = _panels(len(curves), width=2.9, height=2.5)
    for axes, (task, of_task) in zip(panels, curves.items(), strict=False):
        for method, points in of_task.items():
            labels = sorted(points)
            means, sds = np.nan_to_num(np.array([points[n] for n in labels])).T
            style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.4, "capsize": 2, "elinewidth": 0.9}
            axes.errorbar(labels, means, sds, color=colour(methods.index(method)), **style)
        axes.set(xscale="log", yscale="log", xlabel="labels")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if axis is axes.yaxis else (1, 3)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_locator(NullLocator())
            axis.set_minor_formatter(NullFormatter())
        axes.set_title(_wrapped(_title(cards, task)))
        unit = cards.unit(task)
        axes.set_ylabel("test MAE" if unit == "1" else f"test MAE, {unit}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, linewidth=0.8)
    handles = [_dot(i, name) for i, name in enumerate(methods)]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(methods), 6), frameon=False)
    return figure, path


@drawn
def growth(counts: Sequence[int], errors: Mapping[str, Sequence[float]], *, path: Path) -> tuple[Figure, Path]:
    """Relative MAE against number of experts.

    Args:
        counts: numbers of experts.
        errors: part of the data -> MAE over that of all experts, for each number.
        path: PNG file.
    """
    figure = Figure(figsize=(4.2, 3.0), layout="constrained")
    axes = figure.subplots()
    for number, (part, values) in enumerate(errors.items()):
        axes.plot(counts, values, color=colour(number), marker="o", markersize=4, linewidth=1.4, label=part)
    axes.set(xlabel="experts", ylabel="MAE / MAE of all", xticks=list(counts))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(frameon=False)
    return figure, path


@drawn
def errors_by_time(known: Mapping[str, tuple[float, float]], *, reference: str, path: Path) -> tuple[Figure, Path]:
    """Change of an error against the time that a crystal takes. Sets that are close to the reference have no name.

    Args:
        known: set of experts -> time over that of the reference, and relative change of the error.
        reference: the set that the others are compared with.
        path: PNG file.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    named: list[tuple[float, float]] = []
    for name, (time, change) in sorted(known.items(), key=lambda item: -item[1][1]):
        axes.scatter(time, 100 * change, color=colour(0 if name == reference else 1), s=24, zorder=2)
        if name == reference or abs(change) > NAMED_ERROR or abs(math.log(time)) > math.log(NAMED_TIME):
            crowded = any(abs(math.log(time / other)) < 0.25 and abs(change - above) < 0.025 for other, above in named)
            below = crowded or name == reference
            place = (time, 100 * change)
            axes.annotate(name, place, xytext=(5, -9 if below else 3), textcoords="offset points", fontsize=7.5)
            named.append((time, change))
    axes.set(xscale="log", xlabel=f"time of a crystal / that of {reference}", ylabel="change of validation MAE, %")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12, y=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    return figure, path


def _panels(count: int, *, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with so many panels, at most four in a row; the rest of the last row stays empty."""
    columns = min(4, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns + 0.3, height * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels


def _title(cards: TaskCards, task: str) -> str:
    card = cards.of(task)
    return card.title if task == card.name else f"{card.title} (Matbench)"


def _wrapped(text: str, *, width: int = 30) -> str:
    """Two lines at most, broken at the last space that fits."""
    if len(text) <= width:
        return text
    at = text.rfind(" ", 0, width)
    return f"{text[:at]}\n{text[at + 1 :]}"


def _dot(number: int, label: str) -> Line2D:
    return Line2D([], [], color=colour(number), marker="o", markersize=5, linestyle="", label=label)
