"""What the page of a run shows of a target that is a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from moe_mat.crystals.units import with_unit
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.uncertainty_scores import LEVELS
from moe_mat.pages.scores import TITLES


def shown(report: RunReport, target: str) -> dict[str, Any]:
    """What the template names."""
    return {"unit": report.units.get(target, ""), "levels": _levels(report, target)}


def drawn(report: RunReport, target: str, *, level: float) -> dict[str, Any]:
    """What the script draws.

    Args:
        report: Of the run.
        target: Its name.
        level: Of the intervals.
    """
    return {"name": with_unit(target, report.units), "level": level, "calibration": _calibration(report, target)}


def _levels(report: RunReport, target: str) -> dict[str, list[dict[str, float]]]:
    """Part to level, coverage and mean width of the intervals, of crystals that were not learned from."""
    found = {}
    for row in report.metrics.to_dict("records"):
        if row["target"] == target and not row["in_sample"] and np.isfinite(row.get("coverage_90", np.nan)):
            found[f"{TITLES[row['part']]} ({row['n']})"] = [
                {"level": level, "coverage": row[f"coverage_{100 * level:g}"], "width": row[f"width_{100 * level:g}"]}
                for level in LEVELS
            ]
    return dict(reversed(found.items()))


def _calibration(report: RunReport, target: str) -> dict[str, dict[str, np.ndarray]]:
    if not len(report.calibration):
        return {}
    of_target = report.calibration[report.calibration["target"] == target].sort_values("level")
    names = ("level", "coverage", "mae")
    return {str(part): {name: of[name].to_numpy() for name in names} for part, of in of_target.groupby("part")}
