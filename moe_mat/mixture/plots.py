"""Figures of a run: parity and gate weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_mat.files.whole import whole_file

COLOURS = {"train": "#b8c4cf", "val": "#e0a458", "test": "#1f5f8b"}


def parity_plot(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], *, label: str, path: Path) -> None:
    """Predicted against true values.

    Args:
        parts: ``train``, ``val`` and ``test`` to true and predicted values ``[n]`` each.
        label: Name of the target, with its unit if known.
        path: PNG file to write.
    """
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for part, (true, predicted) in parts.items():
        if len(true):
            mae = np.abs(true - predicted).mean()
            style: dict[str, Any] = {"s": 14, "alpha": 0.8, "linewidths": 0, "color": COLOURS[part]}
            axes.scatter(true, predicted, label=f"{part} ({len(true)}), MAE {mae:.4g}", **style)
    values = np.concatenate([np.concatenate(pair) for pair in parts.values()])
    limits = np.array([values.min(), values.max()])
    axes.plot(limits, limits, color="black", linewidth=0.8, zorder=0)
    axes.set(xlabel=f"true {label}", ylabel=f"predicted {label}", aspect="equal")
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def calibration_plot(parts: Mapping[str, pd.DataFrame], *, label: str, path: Path) -> None:
    """How often intervals cover at each level, and the error of the crystals that are surest.

    Args:
        parts: ``val`` and ``test`` to ``level``, ``coverage`` and ``mae``, see `uncertainty_scores.Judged`.
        label: Name of the target, with its unit if known.
        path: PNG file to write.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    covered, retained = figure.subplots(1, 2)
    for part, frame in parts.items():
        covered.plot(100 * frame["level"], 100 * frame["coverage"], label=part, color=COLOURS[part])
        kept = frame[frame["level"] > 0.1]  # of fewer, the mean is that of one or two crystals
        retained.plot(100 * kept["level"], kept["mae"], label=part, color=COLOURS[part])
    covered.plot([0, 100], [0, 100], color="black", linewidth=0.8, zorder=0)
    covered.set(xlabel="level of the interval, %", ylabel="crystals within it, %", aspect="equal")
    retained.set(xlabel="crystals kept, the surest first, %", ylabel=f"MAE of {label}", ylim=(0, None))
    covered.legend(frameon=False, fontsize=8)
    for axes in (covered, retained):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def gate_plot(weights: Mapping[str, float], *, path: Path) -> None:
    """Bars of the experts' weights, the largest on top.

    Args:
        weights: Expert tag to weight.
        path: PNG file to write.
    """
    ordered = sorted(weights.items(), key=lambda item: item[1])
    figure = Figure(figsize=(5, 0.8 + 0.25 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    axes.barh([tag for tag, _ in ordered], [weight for _, weight in ordered], color=COLOURS["test"])
    axes.set(xlabel="gate weight (sums to 1)")
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with mpl.rc_context({"font.size": 9}), whole_file(path) as part:
        figure.savefig(part, dpi=160, format="png")
