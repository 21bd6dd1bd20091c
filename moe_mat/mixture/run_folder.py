"""What a finished run leaves behind: metrics, predictions with ids, gate weights, plots, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.units import with_unit
from moe_mat.files.whole import write_text
from moe_mat.mixture.class_plots import confusion_plot, reliability_plot
from moe_mat.mixture.data_checks import DataChecks
from moe_mat.mixture.plots import calibration_plot, gate_plot, parity_plot
from moe_mat.mixture.report import RunReport


def write_run(
    folder: Path,
    report: RunReport,
    *,
    seed: int | None,
    left_out: Sequence[LeftOut] = (),
    checks: DataChecks | None = None,
) -> None:
    """Write ``metrics.json``, ``predictions.csv``, ``gate_weights.csv``, ``left_out.csv`` and the plots.

    The plots are of parity, calibration and gate weights; of classes, of reliability, confusion and gate weights.

    Where crystals occur more than once, ``repeated_crystals.csv`` lists them.
    """
    summary = {
        "moe_mat": version("moe_mat"),
        "seed": seed,
        "rows": report.rows,
        "left_out": len(left_out),
        "warnings": [*report.notes, *(checks.warnings if checks else ())],
        "repeated_crystals": {**checks.repeated, "contradicting": checks.contradicting} if checks else None,
        "units": dict(report.units),
        "metrics": report.metrics_records(),
        "gate_weights": report.gate_weights,
    }
    write_text(folder / "metrics.json", json.dumps(summary, indent=2))
    write_text(folder / "predictions.csv", report.predictions.to_csv(index=False))
    weights = pd.Series(report.gate_weights, name="weight").rename_axis("expert")
    write_text(folder / "gate_weights.csv", weights.to_csv())
    listed = pd.DataFrame([asdict(row) for row in left_out], columns=["source", "material_id", "column", "reason"])
    write_text(folder / "left_out.csv", listed.to_csv(index=False))
    if checks and len(checks.crystals):
        write_text(folder / "repeated_crystals.csv", checks.crystals.to_csv(index=False))
    gate_plot(report.gate_weights, path=folder / "gate_weights.png")
    if not len(report.metrics):
        return
    targets = list(dict.fromkeys(report.metrics["target"]))
    shown = report.predictions[~report.predictions["in_sample"] | (report.predictions["part"] == "train")]
    if report.of_classes:
        _plot_classes(folder, report, targets[0], shown)
        return
    for target in targets:
        ending = "" if len(targets) == 1 else f"_{target.replace('/', '_')}"
        label, parts = with_unit(target, report.units), _by_part(shown.dropna(subset=[target]))
        if parts:
            pairs = {part: (f[target].to_numpy(), f[f"{target}_predicted"].to_numpy()) for part, f in parts.items()}
            parity_plot(pairs, label=label, path=folder / f"parity{ending}.png")
        if len(report.calibration):
            curves = _by_part(report.calibration[report.calibration["target"] == target])
            calibration_plot(curves, label=label, path=folder / f"calibration{ending}.png")


def _plot_classes(folder: Path, report: RunReport, target: str, shown: pd.DataFrame) -> None:
    classes = report.classes
    label = f"{target} = {classes[1]}" if len(classes) == 2 else f"each {target}"
    if len(report.calibration):
        reliability_plot(_by_part(report.calibration), label=label, path=folder / "reliability.png")
    parts = _by_part(shown)
    part, frame = next((part, parts[part]) for part in ("test", "val", "train") if part in parts)
    label = f"{target} of {part} rows"
    confusion_plot(
        frame[target], frame[f"{target}_predicted"], classes=classes, label=label, path=folder / "confusion.png"
    )


def _by_part(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    groups = frame.groupby("part")
    return {part: groups.get_group(part) for part in ("train", "val", "test") if part in groups.groups}
