"""What a run says of classes: the columns of its predictions, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from moe_mat.mixture.calibrated import Calibrated
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.class_scores import judge_classes
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.predicted import Said


class SaidOfPart(NamedTuple):
    """What a model says of a part of some data.

    Attributes:
        true: What it has learned to say ``[n, n_columns]``.
        said: Of these crystals.
        in_sample: Whether it has learned from each ``[n]``.
    """

    true: Tensor
    said: Said
    in_sample: NDArray[np.bool_]


class FoundOfPart(NamedTuple):
    """What a run reports of a part.

    Attributes:
        predictions: True and predicted values, a row a crystal.
        scores: Of each ``target``, and ``in_sample`` or not.
        calibrations: Of crystals that were not learned from, with their ``target``.
    """

    predictions: pd.DataFrame
    scores: list[dict[str, Any]]
    calibrations: list[pd.DataFrame]


def class_kinds(classes: Sequence[str]) -> list[str]:
    """What is written of a class, as ends of the names of its columns."""
    return ["predicted", *(f"p_{name}" for name in classes), "percentile", "outside"]


def class_columns(model: Calibrated, said: Said) -> dict[str, NDArray[Any]]:
    """What is written of some crystals, by the end of the column's name ``[n]`` each.

    Args:
        model: Of classes.
        said: By it, of some crystals.
    """
    assert model.classes is not None
    assert model.probabilities is not None
    probabilities = model.probabilities(said.predicted.values).numpy()
    predicted = np.array(model.classes, dtype=object)[probabilities.argmax(1)]
    distances = (said.percentiles[:, 0].numpy(), said.outside[:, 0].numpy())
    numbers = (predicted, *probabilities.astype(np.float32).T, *distances)
    return dict(zip(class_kinds(model.classes), numbers, strict=True))


def classes_of_part(model: MixtureOfExperts, of_part: SaidOfPart, target: str, known: Tensor) -> FoundOfPart:
    """Predictions and scores of a class.

    Args:
        model: Of classes.
        of_part: What it says.
        target: Its name.
        known: What was learned of the training rows ``[m, n_columns]``.
    """
    assert model.classes is not None
    assert model.probabilities is not None
    true, columns = labels_of(of_part.true).numpy(), class_columns(model, of_part.said)
    probabilities = model.probabilities(of_part.said.predicted.values).numpy()
    counts = np.bincount(labels_of(known).numpy(), minlength=len(model.classes)) + 1.0  # none is impossible
    shares = counts / counts.sum()
    scores, calibrations = [], []
    for learned in sorted(set(of_part.in_sample.tolist())):
        some = of_part.in_sample == learned
        judged = judge_classes(true[some], probabilities[some])
        prior = {
            "prior_log_loss": float(-np.log(shares[true[some]]).mean()),
            "prior_accuracy": float((true[some] == shares.argmax()).mean()),
        }
        scores.append({"target": target, "in_sample": learned, "n": int(some.sum()), **judged.scores, **prior})
        if not learned:
            calibrations.append(judged.reliability.assign(target=target))
    names = np.array(model.classes, dtype=object)[true]
    written = {target: names, **{f"{target}_{kind}": one for kind, one in columns.items()}}
    return FoundOfPart(pd.DataFrame(written), scores, calibrations)
