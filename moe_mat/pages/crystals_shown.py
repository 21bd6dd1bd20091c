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
from moe_mat.pages.nearest_training import nearest_training

# A name is cut behind so many characters.
LONGEST_NAME = 60
# Of the table of the worst, all of which are drawn.
N_WORST = 15
# Columns of the predictions that the page's script has, and those that it has of numbers, or of classes.
DRAWN = ("row", "id", "formula", "n_atoms", "true", "predicted", "percentile", "outside")
OF_NUMBERS = ("lower", "upper")
OF_CLASSES = ("p_true", "likely", "probabilities")
# Classes whose probability is told of a crystal.
N_LIKELY = 4


def predictions_of(report: RunReport, data: CrystalDataModule, target: str) -> pd.DataFrame:
    """What is known of the predictions of one target, a row each.

    Columns: ``row`` of the data, ``id``, ``formula``, ``n_atoms``, ``part`` (of crystals that the model has learned
    from, ``train``), ``in_part``, ``true``, ``predicted``, ``error``, ``percentile``, ``outside``, and of numbers
    ``lower`` and ``upper``. Crystals without a value are left out.

    Of classes, ``true`` and ``predicted`` are their numbers; ``p_true`` is the probability of the true one, ``error``
    what it lacks to 1, ``wrong`` whether another one is predicted, and ``likely`` are the most probable ones.
    """
    said = report.predictions
    rows = np.concatenate([data.rows[part].numpy() for part in said["part"].unique()])
    frame = _of_classes(report, target) if report.of_classes else _of_numbers(report, target)
    for kind in ("percentile", "outside"):
        frame[kind] = said[f"{target}_{kind}"].to_numpy()
    frame["row"], frame["id"] = rows, said["material_id"].map(short).to_numpy()
    frame["part"] = said["part"].mask(said["in_sample"].astype(bool), "train").to_numpy()
    frame["in_part"] = said["part"].to_numpy()
    for column in ("formula", "n_atoms"):
        frame[column] = data.crystals[column].to_numpy()[rows]
    return frame[np.isfinite(frame["true"])].reset_index(drop=True)


def _of_numbers(report: RunReport, target: str) -> pd.DataFrame:
    said = report.predictions
    frame = pd.DataFrame({kind: said[f"{target}_{kind}"].to_numpy() for kind in ("predicted", *OF_NUMBERS)})
    frame["true"] = said[target].to_numpy()
    return frame.assign(error=frame["predicted"] - frame["true"])


def _of_classes(report: RunReport, target: str) -> pd.DataFrame:
    said, classes = report.predictions, report.classes
    true, predicted = (
        pd.Categorical(said[name].astype(str), classes).codes for name in (target, f"{target}_predicted")
    )
    probabilities = probabilities_of(report, target)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :N_LIKELY]
    p_true = probabilities[np.arange(len(said)), true]
    return pd.DataFrame(
        {
            "true": true,
            "predicted": predicted,
            "p_true": p_true,
            "error": 1 - p_true,
            "wrong": (true != predicted).astype(float),
            "likely": order.tolist(),
            "probabilities": np.take_along_axis(probabilities, order, axis=1).round(4).tolist(),
        }
    )


def probabilities_of(report: RunReport, target: str) -> np.ndarray:
    """Of a target that is a class, the probabilities of the classes in order ``[n_predicted, n_classes]``."""
    return report.predictions[[f"{target}_p_{name}" for name in report.classes]].to_numpy(dtype=float)


def mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of which the mean ``error`` is to be read: of classes, it becomes the share that is wrong."""
    return predictions.assign(error=predictions["wrong"]) if "wrong" in predictions else predictions


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


def points(drawn: Sequence[Drawn], model: MixtureOfExperts, data: CrystalDataModule) -> list[dict[str, Any]]:
    """What the page's script draws, as plain data.

    Args:
        drawn: Of each target.
        model: A finished model.
        data: That was predicted.

    Returns:
        Of each target, ``parts`` has columns by part: ``nearest`` are numbers in ``known``, the names, formulas and
        values (of classes their numbers) of crystals of the training, and ``distance`` how far these are.
    """
    return [_points(one.predictions, model, data, target) for target, one in enumerate(drawn)]


def _points(said: pd.DataFrame, model: MixtureOfExperts, data: CrystalDataModule, target: int) -> dict[str, Any]:
    near = nearest_training(model, data, said["row"].to_numpy(dtype=int), target=target)
    known = [number for number in np.unique(near.numbers).tolist() if number >= 0]
    place = {number: place for place, number in enumerate(known)}
    columns = (*DRAWN, *(OF_CLASSES if model.classes else OF_NUMBERS))
    parts = {}
    for part in ("train", "val", "test"):
        here = (said["part"] == part).to_numpy()
        parts[part] = {name: said[name].to_numpy()[here] for name in columns} | {
            "nearest": [[place[number] for number in of if number >= 0] for of in near.numbers[here].tolist()],
            "distance": near.distances[here],
        }
    return {
        "parts": parts,
        "known": {
            "id": [short(near.ids[number]) for number in known],
            "formula": [near.formulas[number] for number in known],
            "value": near.values[known],
        },
    }
