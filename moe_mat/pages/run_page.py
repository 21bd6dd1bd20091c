"""The page of a run: what its folder holds, to be looked at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.splits import PARTS
from moe_mat.files.whole import write_text
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport
from moe_mat.pages import breakdown, gate_words, of_classes, of_numbers
from moe_mat.pages.crystals_shown import N_WORST, choose, mistakes, points, predictions_of, short, worst_first
from moe_mat.pages.page import NOTHING, render
from moe_mat.pages.scores import TITLES, scores
from moe_mat.pages.seen import look

FILE = "report.html"
LARGEST = 5_000_000
# Crystals that are drawn, of all targets together.
MOST_POINTS = 6000
# Rows of lists, whose whole is in a file of the run folder.
MOST_LISTED = 50


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
    seen = look(report.gate_weights, data, model.cards, dict(zip(targets, map(mistakes, said), strict=True)))
    shown = []
    for column, (target, of_target) in enumerate(zip(targets, said, strict=True)):
        of_kind, drawn_of_kind = _of_kind(run, target, of_target)
        drawing[column] |= drawn_of_kind
        wrong = mistakes(of_target)
        shown.append(
            {
                "name": target,
                **scores(report, target),
                **of_kind,
                "n_all": drawn[column].n_all,
                "n_drawn": len(drawn[column].predictions),
                "worst": _worst(of_target, seen[column].flags),
                "n_held_out": int((of_target["part"] != "train").sum()),
                "elements": breakdown.by_element(wrong),
                "systems": breakdown.by_system(wrong),
                "sizes": breakdown.by_size(wrong),
                "seen": seen[column],
                "beside_the_gate": gate_words.beside_the_gate(model.head, model.columns_of(column)),
            }
        )
    kinds = gate_words.kinds(report.gate_weights, model.cards)
    checks = data.checks
    content = {
        "kind": "of_classes" if report.of_classes else "of_numbers",
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
        "copies": _copies(run),
        "n_copies": len(checks.crystals),
        "commands": run.commands,
    }
    return render("run.html", content, data=drawing)


def _left_out(one: LeftOut) -> dict[str, str | None]:
    return {"id": short(one.material_id or NOTHING), "source": one.source, "column": one.column, "reason": one.reason}


def _of_kind(run: RunSubject, target: str, said: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is shown and drawn of numbers, or of classes."""
    report = run.report
    if not report.of_classes:
        return of_numbers.shown(report, target), of_numbers.drawn(report, target, level=run.level)
    headline = scores(report, target)["headline"]
    judged = of_classes.judge(report, target, said, headline and headline["part"])
    return of_classes.shown(report, target, said, judged), of_classes.drawn(report, target, judged)


def _worst(predictions: pd.DataFrame, seen: np.ndarray) -> list[dict[Hashable, Any]]:
    worst = worst_first(predictions)[:N_WORST]
    return worst.assign(seen=seen[worst["row"].to_numpy(dtype=int)]).to_dict("records")


def _copies(run: RunSubject) -> list[dict[str, Any]]:
    crystals, targets = run.data.checks.crystals[:MOST_LISTED], run.targets
    if run.model.classes:
        crystals = of_classes.named(crystals, targets[0], run.model.classes)
    return [
        {
            "id": short(row["material_id"]),
            "part": row["part"],
            "same_as": short(row["same_as"]),
            "values": [row[target] for target in targets],
        }
        for row in crystals.to_dict("records")
    ]


def _split(data: CrystalDataModule) -> str:
    settings = data.settings
    if settings.splits is not None:
        return f"split {settings.split} of {settings.splits}"
    shares = " / ".join(f"{100 * share:g}" for share in settings.fractions)
    together = f", each {settings.group.removeprefix('column:')} in one part" if settings.group else ""
    return f"at random, {shares} %{together}, seed {settings.split}"
