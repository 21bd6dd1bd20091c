"""The crystals of a run as a page shows them: what is said of each, and which of the training are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport
from moe_mat.pages.nearest_training import N_NEAREST, nearest_training

# A name is cut behind so many characters.
LONGEST_NAME = 60
# Of the table of the worst, all of which are drawn.
N_WORST = 15


def predictions_of(report: RunReport, data: CrystalDataModule, target: str) -> pd.DataFrame:
    """What is known of the predictions of one target, a row each.

    Columns: ``row`` of the data, ``id``, ``formula``, ``n_atoms``, ``part`` (of crystals that the model has learned
    from, ``train``), ``true``, ``predicted``, ``error``, ``lower``, ``upper``, ``percentile`` and ``outside``. Crystals
    without a value are left out.
    """
    said = report.predictions
    rows = np.concatenate([data.rows[part].numpy() for part in said["part"].unique()])
    kinds = ("predicted", "lower", "upper", "percentile", "outside")
    frame = pd.DataFrame({kind: said[f"{target}_{kind}"].to_numpy() for kind in kinds})
    frame["row"], frame["id"], frame["true"] = rows, said["material_id"].map(short).to_numpy(), said[target].to_numpy()
    frame["part"] = said["part"].mask(said["in_sample"].astype(bool), "train").to_numpy()
    frame["in_part"] = said["part"].to_numpy()
    frame["error"] = frame["predicted"] - frame["true"]
    for column in ("formula", "n_atoms"):
        frame[column] = data.crystals[column].to_numpy()[rows]
    return frame[np.isfinite(frame["true"])].reset_index(drop=True)


def short(name: object) -> str:
    """A name that fits into a table."""
    text = str(name)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def worst_first(predictions: pd.DataFrame) -> pd.DataFrame:
    """Crystals that the model had not learned from, the largest error first."""
    held_out = predictions[predictions["part"] != "train"]
    return held_out.reindex(held_out["error"].abs().sort_values(ascending=False, kind="stable").index)


@dataclass(frozen=True)
class Drawn:
    """Crystals that are drawn, so many that a page stays small.

    Attributes:
        predictions: Those of `predictions_of` that are drawn.
        n_all: How many there are.
    """

    predictions: pd.DataFrame
    n_all: int


def choose(predictions: pd.DataFrame, *, most: int) -> Drawn:
    """The worst crystals, then others that were not learned from, test before validation, then of the training.

    Args:
        predictions: Of one target.
        most: That may be drawn; within a part they are chosen at random.
    """
    order = predictions.sample(frac=1, random_state=0)
    rank = order["part"].map({"test": 1, "val": 2, "train": 3})
    rank[rank.index.isin(worst_first(predictions).index[:N_WORST])] = 0
    kept = rank.sort_values(kind="stable").index[:most]
    return Drawn(predictions.loc[np.sort(kept.to_numpy())], len(predictions))


def points(
    drawn: Sequence[Drawn], model: MixtureOfExperts, data: CrystalDataModule, *, knows_training: bool
) -> dict[str, Any]:
    """What the page's script draws, as plain data.

    Args:
        drawn: Of each target.
        model: A finished model.
        data: That was predicted.
        knows_training: Whether its training rows are those that the model has learned from.

    Returns:
        ``crystals`` with ``id``, ``formula`` and ``n_atoms``; and ``targets``, of each of which ``parts`` has columns
        by part, ``row`` being a number in the crystals, ``nearest`` those of the nearest training crystals and
        ``distance`` theirs; ``known`` is the value of each of these. ``rows`` are the crystals' rows in the data.
    """
    shown: dict[int, int] = {}
    targets = []
    for column, of_target in enumerate(drawn):
        said = of_target.predictions
        rows = said["row"].to_numpy()
        near = np.empty((len(rows), 0), int), np.empty((len(rows), 0))
        if knows_training and len(rows):
            near = nearest_training(model, data, rows, column=column, k=N_NEAREST)
        known = {}
        for row in np.unique(near[0][near[0] >= 0]).tolist():
            known[shown.setdefault(row, len(shown))] = float(data.targets[row, column])
        parts = {}
        for part in ("train", "val", "test"):
            here = (said["part"] == part).to_numpy()
            some = said[here]
            columns: dict[str, Any] = {
                name: some[name].to_numpy()
                for name in ("true", "predicted", "lower", "upper", "percentile", "outside")
            }
            columns["row"] = [shown.setdefault(row, len(shown)) for row in some["row"].tolist()]
            columns["nearest"] = [[shown[row] for row in of if row >= 0] for of in near[0][here].tolist()]
            columns["distance"] = near[1][here]
            parts[part] = columns
        targets.append({"parts": parts, "known": known})
    rows = list(shown)
    crystals = {
        "id": [short(data.ids[row]) for row in rows],
        "formula": data.crystals["formula"].to_numpy()[rows],
        "n_atoms": data.crystals["n_atoms"].to_numpy()[rows],
    }
    return {"rows": rows, "crystals": crystals, "targets": targets}
