"""The page of a run: what its folder holds, to be looked at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.splits import PARTS
from moe_mat.crystals.units import with_unit
from moe_mat.files.whole import write_text
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.uncertainty_scores import LEVELS
from moe_mat.pages import breakdown, gate_words
from moe_mat.pages.crystals_shown import N_WORST, choose, points, predictions_of, short, worst_first
from moe_mat.pages.page import NOTHING, render
from moe_mat.pages.seen import look

FILE = "report.html"
LARGEST = 5_000_000
# Crystals that are drawn, of all targets together.
MOST_POINTS = 6000
# Rows of lists, whose whole is in a file of the run folder.
MOST_LISTED = 50
TITLES = {"train": "Training", "val": "Validation", "test": "Test"}


@dataclass(frozen=True)
class RunSubject:
    """A finished run.

    Attributes:
        folder: Of the run.
        report: Its numbers.
        model: That was trained, or scored.
        data: That was predicted.
        level: Of the intervals.
        seed: Of everything random.
        commands: What it does to the command that does it.
    """

    folder: Path
    report: RunReport
    model: MixtureOfExperts
    data: CrystalDataModule
    level: float
    seed: int | bool | None
    commands: Mapping[str, str]

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return [str(target) for target in self.model.hparams["targets"]]


def write_run_page(run: RunSubject) -> Path:
    """Write ``report.html`` into the folder of a run.

    It is one file that needs no network and no server. Where crystals are so many that it would be larger than 5 MB,
    fewer are drawn, and the page says so; tables and numbers are of all.
    """
    most = MOST_POINTS
    while True:
        page = _page(run, most=most)
        if len(page.encode()) < LARGEST or most < 100:
            path = run.folder / FILE
            write_text(path, page)
            return path
        most //= 2


def _page(run: RunSubject, *, most: int) -> str:
    report, data, model = run.report, run.data, run.model
    targets = run.targets
    said = [predictions_of(report, data, target) for target in targets]
    drawn = [choose(one, most=max(most // len(targets), N_WORST)) for one in said]
    drawing = points(drawn, model, data)
    seen = look(report, data, model.cards, targets)
    shown = []
    for column, (target, of_target) in enumerate(zip(targets, said, strict=True)):
        drawing[column] |= {
            "name": with_unit(target, report.units),
            "level": run.level,
            "calibration": _calibration(report, target),
        }
        shown.append(
            {
                "name": target,
                "unit": report.units.get(target, ""),
                **_errors(report, target),
                "levels": _levels(report, target),
                "n_all": drawn[column].n_all,
                "n_drawn": len(drawn[column].predictions),
                "worst": _worst(of_target, seen[column].flags),
                "n_held_out": int((of_target["part"] != "train").sum()),
                "elements": breakdown.by_element(of_target),
                "systems": breakdown.by_system(of_target),
                "sizes": breakdown.by_size(of_target),
                "seen": seen[column],
                "beside_the_gate": gate_words.beside_the_gate(model.head, column),
            }
        )
    kinds = gate_words.kinds(report.gate_weights, model.cards)
    checks = data.checks
    content = {
        "data": data.name,
        "place": data.place,
        "folder": str(run.folder),
        "made": datetime.now().strftime("%d %B %Y, %H:%M"),
        "version": version("moe_mat"),
        "head": model.hparams["head"],
        "seed": run.seed,
        "level": run.level,
        "split": _split(data),
        "parts": [(TITLES[part], report.rows.get(part, 0)) for part in PARTS],
        "targets": shown,
        "warnings": [*report.notes, *checks.warnings],
        "knows_training": any(one["known"]["id"] for one in drawing),
        "weights": gate_words.weighed(report.gate_weights, model.cards),
        "kinds": kinds,
        "in_words": gate_words.in_words(kinds),
        "left_out": [_left_out(one) for one in data.left_out[:MOST_LISTED]],
        "n_left_out": len(data.left_out),
        "repeated": checks.repeated,
        "contradicting": checks.contradicting,
        "copies": _copies(checks.crystals, targets),
        "n_copies": len(checks.crystals),
        "commands": run.commands,
    }
    return render("run.html", content, data=drawing)


def _left_out(one: LeftOut) -> dict[str, str | None]:
    return {"id": short(one.material_id or NOTHING), "source": one.source, "column": one.column, "reason": one.reason}


def _errors(report: RunReport, target: str) -> dict[str, Any]:
    """The rows of the errors' table, and the one that tells the error on new crystals, if there is one."""
    rows = report.metrics[report.metrics["target"] == target]
    records = rows.to_dict("records")
    for one in records:
        one["title"] = TITLES[one["part"]] + (", in sample" if one["in_sample"] and one["part"] != "train" else "")
    new = [one for part in ("test", "val") for one in records if one["part"] == part and not one["in_sample"]]
    return {"metrics": records, "headline": next((one for one in new if one["n"]), None)}


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


def _worst(predictions: pd.DataFrame, seen: np.ndarray) -> list[dict[Hashable, Any]]:
    worst = worst_first(predictions)[:N_WORST]
    return worst.assign(seen=seen[worst["row"].to_numpy(dtype=int)]).to_dict("records")


def _copies(crystals: pd.DataFrame, targets: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": short(row["material_id"]),
            "part": row["part"],
            "same_as": short(row["same_as"]),
            "values": [row[target] for target in targets],
        }
        for row in crystals[:MOST_LISTED].to_dict("records")
    ]


def _split(data: CrystalDataModule) -> str:
    settings = data.settings
    if settings.splits is not None:
        return f"split {settings.split} of {settings.splits}"
    shares = " / ".join(f"{100 * share:g}" for share in settings.fractions)
    together = f", each {settings.group.removeprefix('column:')} in one part" if settings.group else ""
    return f"at random, {shares} %{together}, seed {settings.split}"
