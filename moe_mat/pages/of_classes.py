"""What the page of a run shows of a target that is a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from moe_mat.crystals.splits import PARTS
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.settings import column_names
from moe_mat.pages.crystals_shown import probabilities_of, short

# Classes up to which each has a colour of its own.
COLOURED = 8
# Points of a ROC curve.
MOST_STEPS = 80


@dataclass(frozen=True, slots=True)
class OneClass:
    """A class among crystals that the model had not learned from.

    Attributes:
        name: What it is called.
        n: How many crystals are of it.
        n_said: How many are said to be.
        n_right: How many of these are.
        roc_auc: Against all others; NaN where all or none are of it.
    """

    name: str
    n: int
    n_said: int
    n_right: int
    roc_auc: float

    @property
    def found(self) -> float:
        """Share of its crystals that are said to be of it."""
        return self.n_right / self.n if self.n else np.nan

    @property
    def right(self) -> float:
        """Share of what is said to be of it that is."""
        return self.n_right / self.n_said if self.n_said else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """How classes are told apart, of crystals of one part that the model had not learned from.

    Attributes:
        part: Which.
        n: How many crystals.
        confusion: Numbers of crystals by their true and their predicted class ``[n_classes, n_classes]``.
        each: Of the classes.
        curves: Of each class the ``false`` and ``found`` shares at all thresholds; ``None`` where there are none, where
            they would be too many, and of the first of two.
    """

    part: str
    n: int
    confusion: list[list[int]]
    each: list[OneClass]
    curves: list[dict[str, np.ndarray] | None]


def shown(report: RunReport, target: str, said: pd.DataFrame, judged: Judged | None) -> dict[str, Any]:
    """What the template names.

    Args:
        report: Of the run.
        target: Its name.
        said: Its predictions, see `predictions_of`.
        judged: See `judge`.
    """
    names = [short(name) for name in report.classes]
    parts = [part for part in PARTS if (said["in_part"] == part).any()]
    counts = {part: np.bincount(said.loc[said["in_part"] == part, "true"], minlength=len(names)) for part in parts}
    return {
        "classes": names,
        "counts": [
            (name, {part: (of[row], of[row] / of.sum()) for part, of in counts.items()})
            for row, name in enumerate(names)
        ],
        "judged": judged,
        "coloured": len(names) <= COLOURED,
    }


def drawn(report: RunReport, target: str, judged: Judged | None) -> dict[str, Any]:
    """What the script draws; arguments as of `shown`."""
    names = ("probability", "share", "n")
    curves = report.calibration.groupby("part") if len(report.calibration) else ()
    classes = [short(name) for name in report.classes]
    return {
        "name": target,
        "classes": classes,
        "coloured": len(classes) <= COLOURED,
        "of": f"{target} = {classes[1]}" if len(classes) == 2 else f"each {target}",
        "reliability": {str(part): {name: of[name].to_numpy() for name in names} for part, of in curves},
        "roc": judged.curves if judged else [],
        "judged": judged and judged.part,
    }


def judge(report: RunReport, target: str, said: pd.DataFrame, part: str | None) -> Judged | None:
    """Compare what is said of a part with what is true; ``None`` where nothing was held out.

    Args:
        report: Of the run.
        target: Its name.
        said: Its predictions, see `predictions_of`.
        part: Which.
    """
    if part is None:
        return None
    here = (said["part"] == part).to_numpy()
    true, predicted = (said[name].to_numpy()[here] for name in ("true", "predicted"))
    probabilities, names = probabilities_of(report, target)[here], [short(name) for name in report.classes]
    confusion = confusion_matrix(true, predicted, labels=range(len(names)))
    is_of = true[:, None] == np.arange(len(names))
    mixed = is_of.any(0) & ~is_of.all(0)
    each = [
        OneClass(
            name,
            int(confusion[row].sum()),
            int(confusion[:, row].sum()),
            int(confusion[row, row]),
            float(roc_auc_score(is_of[:, row], probabilities[:, row])) if mixed[row] else np.nan,
        )
        for row, name in enumerate(names)
    ]
    told = mixed & (len(names) <= COLOURED) & (np.arange(len(names)) >= (len(names) == 2))
    curves = [_roc(is_of[:, row], probabilities[:, row]) if told[row] else None for row in range(len(names))]
    return Judged(part, int(here.sum()), confusion.tolist(), each, curves)


def _roc(is_of: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    false, found, _ = roc_curve(is_of, probabilities)
    steps = np.unique(np.linspace(0, len(false) - 1, MOST_STEPS).round().astype(int))
    return {"false": false[steps], "found": found[steps]}


def named(crystals: pd.DataFrame, target: str, classes: list[str]) -> pd.DataFrame:
    """Crystals of the data's checks, with the names of their classes in place of what is learned of them."""
    if not len(crystals):
        return crystals
    columns = torch.tensor(crystals[column_names([target], classes)].to_numpy(dtype=np.float32))
    return crystals.assign(**{target: [classes[label] for label in labels_of(columns).tolist()]})
