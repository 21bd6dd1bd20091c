"""The crystals of the training that are nearest to others, as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from moe_mat.encoders import choose_device
from moe_mat.mixture.batched_rows import BatchedRows
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.nearest import nearest_training as nearest_of_model

N_NEAREST = 5


class Neighbours(NamedTuple):
    """The nearest crystals of the training, of n others.

    Attributes:
        ids: Names of the crystals that were learned from.
        formulas: Theirs.
        values: Of the target; of a class their numbers.
        numbers: Which of these are the nearest ``[n, k]``, the nearest first; -1 where there are fewer.
        distances: To them ``[n, k]``.
    """

    ids: Sequence[str]
    formulas: Sequence[str]
    values: np.ndarray
    numbers: np.ndarray
    distances: np.ndarray


def nearest_training(
    model: MixtureOfExperts, data: CrystalDataModule, rows: np.ndarray, *, target: int, k: int = N_NEAREST
) -> Neighbours:
    """The nearest crystals that a model has learned from, itself excepted.

    Args:
        model: A finished model; of one that does not name its crystals, nobody's neighbours are known.
        data: Crystals embedded by its experts.
        rows: Of those whose neighbours are wanted ``[n]``.
        target: Which of the targets.
        k: Number of neighbours.
    """
    learned = model.learned
    if learned is None or not learned.formulas or not len(rows):
        return Neighbours([], [], np.empty(0), np.empty((len(rows), 0), int), np.empty((len(rows), 0)))
    some = BatchedRows(data, torch.as_tensor(rows)).__getitems__(list(range(len(rows))))
    with model.head.tuned_on(choose_device(data.device)):
        numbers, distances = nearest_of_model(model, some, k + 1, target=target)
    digest = model.data_digest
    if digest is not None and digest.difference(data.digest) is None:
        itself = np.array(learned.ids, dtype=object)[numbers] == np.array(some.ids, dtype=object)[:, None]
    else:  # other data may call other crystals the same
        itself = np.zeros(numbers.shape, dtype=bool)
    order = itself.argsort(axis=1, kind="stable")[:, :k]  # itself last
    numbers = np.where(itself, -1, numbers)
    return Neighbours(
        learned.ids,
        learned.formulas,
        (labels_of(learned.targets) if model.classes else learned.targets[:, target]).numpy(),
        np.take_along_axis(numbers, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
    )
