"""What a crystal is worth where the target is a class."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from moe_mat.mixture.calibrated import Calibrated
from moe_mat.mixture.predicted import Said
from moe_mat.suggest.goals import Goal, Numbers


def worth_of_classes(goal: Goal, model: Calibrated, said: Said) -> Numbers:
    """How probable the class that is looked for is, or else the entropy of all, in units of an even guess ``[n]``.

    Either is what a measurement may bring: a member, or what is not known. It takes the place of a standard deviation,
    and so shrinks around the crystals of a batch that are chosen already.

    Args:
        goal: A class, or uncertainty.
        model: Of classes.
        said: What it says of some crystals.
    """
    assert model.probabilities is not None
    assert model.classes is not None
    probabilities = model.probabilities(said.predicted.values).numpy()
    if goal.kind == "class":
        return probabilities[:, list(model.classes).index(goal.name)]
    return entr(probabilities).sum(1) / np.log(len(model.classes))
