"""Which crystals of the training are nearest to others, in the mixed embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_mat.encoders import choose_device
from moe_mat.mixture.batch import AT_ONCE
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.module import MixtureOfExperts

N_NEAREST = 5


class Neighbours(NamedTuple):
    """The nearest crystals of the training, of n others.

    Attributes:
        ids: Names of crystals of the training.
        formulas: Theirs.
        values: Of the target.
        numbers: Which of these are the nearest ``[n, k]``, the nearest first; -1 where there are fewer.
        distances: To them ``[n, k]``.
    """

    ids: Sequence[str]
    formulas: Sequence[str]
    values: np.ndarray
    numbers: np.ndarray
    distances: np.ndarray


@torch.no_grad()
def nearest_training(
    model: MixtureOfExperts, data: CrystalDataModule, rows: np.ndarray, *, column: int, k: int = N_NEAREST
) -> Neighbours:
    """The nearest crystals that a model has learned from, itself excepted; for validation rows, training rows alone.

    Args:
        model: A finished model.
        data: Its own; where they are others, nobody's neighbours are known.
        rows: Of the crystals whose neighbours are wanted ``[n]``.
        column: Of the target: crystals without a value of it are nobody's neighbours.
        k: Number of neighbours.
    """
    digest = model.data_digest
    if digest is None or digest.difference(data.digest) is not None or not len(rows):
        return Neighbours([], [], np.empty(0), np.empty((len(rows), 0), int), np.empty((len(rows), 0)))
    parts = model.outcome.parts if model.outcome is not None else ("train",)
    places = torch.as_tensor(rows)
    is_validation = torch.isin(places, data.rows["val"])[:, None]
    best, found = torch.full((len(rows), k), torch.inf), torch.full((len(rows), k), -1)
    with model.head.tuned_on(choose_device(data.device)):
        wanted = _of_rows(model, data, rows)
        for part in parts:
            for numbers, mixed in _mixed(model, data, part):
                present = data.targets[numbers, column].isfinite()
                numbers, squared = numbers[present], squared_distances(wanted, mixed[present])
                squared[places[:, None] == numbers[None]] = torch.inf
                if part == "val":
                    squared = squared.masked_fill(is_validation, torch.inf)
                best, chosen = torch.cat([best, squared], 1).topk(k, dim=1, largest=False)
                found = torch.cat([found, numbers.expand(len(rows), -1)], 1).gather(1, chosen)
    found[best.isinf()] = -1
    values = data.targets[:, column].numpy()
    return Neighbours(data.ids, data.formulas, values, found.numpy(), best.sqrt().numpy())


def _of_rows(model: MixtureOfExperts, data: CrystalDataModule, rows: np.ndarray) -> Tensor:
    """Mixed embeddings of some crystals ``[n, width]``."""
    place = {row: number for number, row in enumerate(rows.tolist())}
    numbers, mixed = [], []
    for part in ("train", "val", "test"):
        for of_batch, values in _mixed(model, data, part):
            here = [number for number, row in enumerate(of_batch.tolist()) if row in place]
            numbers += [place[row] for row in of_batch[here].tolist()]
            mixed.append(values[here])
    return torch.cat(mixed)[torch.tensor(numbers).argsort()]


def _mixed(model: MixtureOfExperts, data: CrystalDataModule, part: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers and mixed embeddings of a part, some crystals at a time."""
    start = 0
    for loaded in data.evaluation_loader(part):
        for batch in loaded.parts(AT_ONCE):
            rows = data.rows[part][start : start + len(batch.ids)]
            start += len(batch.ids)
            yield rows, model.head.embed(batch)[0].float()
