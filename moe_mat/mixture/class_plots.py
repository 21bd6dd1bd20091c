"""Figures of a run that predicts classes: reliability and confusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from moe_mat.mixture.plots import COLOURS, save_figure

# Classes up to which the numbers are written into their fields.
WRITTEN = 12


def reliability_plot(parts: Mapping[str, pd.DataFrame], *, label: str, path: Path) -> None:
    """How often what was said to be so probable is true.

    Args:
        parts: ``val`` and ``test`` to ``probability``, ``share`` and ``n``, see `class_scores.JudgedClasses`.
        label: Of which class, or classes, the probabilities are.
        path: PNG file to write.
    """
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for part, frame in parts.items():
        said, true = 100 * frame["probability"], 100 * frame["share"]
        axes.plot(said, true, marker="o", markersize=4, label=f"{part}, {frame['n'].sum()}", color=COLOURS[part])
    axes.plot([0, 100], [0, 100], color="black", linewidth=0.8, zorder=0)
    axes.set(xlabel=f"probability of {label}, %", ylabel="true of them, %", aspect="equal")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def confusion_plot(true: pd.Series, predicted: pd.Series, *, classes: list[str], label: str, path: Path) -> None:
    """Numbers of crystals by their true and their predicted class; colours are shares of the true one.

    Args:
        true: Classes ``[n]``.
        predicted: Classes ``[n]``.
        classes: In order.
        label: Name of the target, and of the rows.
        path: PNG file to write.
    """
    counts = confusion_matrix(true.astype(str), predicted.astype(str), labels=classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.5 + 0.4 * len(classes)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, labels=classes, rotation=45 if len(classes) > 3 else 0)
    axes.set_yticks(ticks, labels=classes)
    axes.set(xlabel="predicted", ylabel=f"true {label}")
    for row, column in np.ndindex(counts.shape) if len(classes) <= WRITTEN else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    save_figure(figure, path)
