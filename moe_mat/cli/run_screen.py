"""What fit and test show of a run, and what they tell programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Column, Table

from moe_mat.cli.screen import Facts, screen
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.report import RunReport

# Experts below this gate weight are summed up on the screen; gate_weights.csv has them all.
SHOWN_WEIGHT = 0.005
# Metrics, and what they are called.
SHOWN = {"mae": "MAE", "median_mae": "MAE of the training median", "rmse": "RMSE", "r2": "R2"}
SHOWN_OF_CLASSES = {
    "accuracy": "accuracy",
    "prior_accuracy": "of the main class",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "prior_log_loss": "of the shares",
}


def run_facts(
    report: RunReport, *, data: CrystalDataModule, folder: Path, checkpoint: str | None, page: Path | None
) -> Facts:
    """A run as plain data."""
    return {
        "data": data.name,
        "rows": report.rows,
        "left_out": [str(one) for one in data.left_out],
        "warnings": [*report.notes, *data.checks.warnings],
        "units": dict(report.units),
        "metrics": report.metrics_records(),
        "gate_weights": report.gate_weights,
        "run_folder": folder,
        "checkpoint": checkpoint,
        "page": page,
    }


def print_report(
    report: RunReport, *, data: CrystalDataModule, folder: Path, checkpoint: str | None, page: Path | None
) -> None:
    """Show the split, the errors beside those of the training median, and the gate weights."""
    rows = ", ".join(f"{count} {part}" for part, count in report.rows.items())
    screen.print(f"\n[bold]{data.name}[/bold]: {rows} rows; {len(data.left_out)} crystals left out")
    if data.left_out:
        screen.text(f"  first: {data.left_out[0]}; all in left_out.csv")
    shown, known = (SHOWN_OF_CLASSES if report.of_classes else SHOWN), ["unit"] if report.units else []
    if report.of_classes:  # all words whole, on a screen of 80 columns
        headings = [Column(name, min_width=max(map(len, name.split()))) for name in shown.values()]
        scores = Table(Column("target", overflow="fold"), "part", "rows", *headings, padding=(0, 1, 0, 0))
    else:
        scores = Table(Column("target", overflow="fold"), "part", "rows", *known, *shown.values())
    for row in report.metrics.to_dict("records"):
        numbers = [f"{row[name]:.3f}" if report.of_classes else f"{row[name]:.4g}" for name in shown]
        style = "bold" if row["part"] == "test" else None
        part = f"{row['part']}, in sample" if row["in_sample"] and row["part"] != "train" else str(row["part"])
        known = [report.units.get(row["target"], "")] if report.units else []
        scores.add_row(str(row["target"]), part, str(row["n"]), *known, *numbers, style=style)
    screen.print(scores)
    for row in report.metrics.to_dict("records"):
        if row["part"] == "test" and np.isfinite(row.get("coverage_90", np.nan)):
            covered, width = f"{100 * row['coverage_90']:.0f} %", f"{row['width_90']:.3g}"
            target = f"{row['target']}: " if report.metrics["target"].nunique() > 1 else ""
            unit = report.units.get(row["target"], "")
            said = f"{target}90 % intervals hold {covered} of the test rows; their mean width is {width} {unit}"
            screen.text(said.rstrip())
    for warning in (*report.notes, *data.checks.warnings):
        screen.print(f"[yellow]warning[/yellow]: {escape(warning)}", highlight=False, soft_wrap=True)
    weights = Table("expert", "gate weight")
    ordered = sorted(report.gate_weights.items(), key=lambda item: -item[1])
    heavy = [(tag, weight) for tag, weight in ordered if weight >= SHOWN_WEIGHT]
    for tag, weight in heavy:
        weights.add_row(tag, f"{weight:.3f}")
    if hidden := len(ordered) - len(heavy):
        weights.add_row(f"{hidden} others", f"{sum(weight for _, weight in ordered[len(heavy) :]):.3f}")
    screen.print(weights)
    screen.text(f"run folder: {folder}")
    if page:
        screen.text(f"to look at it, open: {page}")
    if checkpoint:
        screen.text(f"predict new crystals: moe-mat predict <crystals> --ckpt_path {checkpoint}")
