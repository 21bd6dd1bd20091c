"""Which crystals of the training are nearest to others, in the mixed embedding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from moe_mat.encoders import choose_device
from moe_mat.mixture.batch import AT_ONCE
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.module import MixtureOfExperts

N_NEAREST = 5


@torch.no_grad()
def nearest_training(
    model: MixtureOfExperts, data: EmbeddingDataModule, rows: np.ndarray, *, column: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest crystals that a model has learned from, itself excepted; for validation rows, training rows alone.

    Args:
        model: A finished model.
        data: Its own.
        rows: Of the crystals whose neighbours are wanted ``[n]``.
        column: Of the target: crystals without a value of it are nobody's neighbours.
        k: Number of neighbours.

    Returns:
        Row numbers ``[n, k]``, the nearest first, and distances ``[n, k]``; -1 and infinity where there are fewer.
    """
    parts = model.outcome.parts if model.outcome is not None else ("train",)
    with model.head.tuned_on(choose_device(data.device)):
        wanted = {row: number for number, row in enumerate(rows.tolist())}
        queries: Tensor | None = None
        for numbers, mixed in _mixed(model, data, ("train", "val", "test")):
            queries = mixed.new_zeros(len(rows), mixed.shape[1]) if queries is None else queries
            here = [(wanted[row], place) for place, row in enumerate(numbers.tolist()) if row in wanted]
            if here:
                to, of = (torch.tensor(side) for side in zip(*here, strict=True))
                queries[to] = mixed[of]
        assert queries is not None
        places = torch.as_tensor(rows)
        is_validation = torch.isin(places, data.rows["val"])[:, None]
        best = torch.full((len(rows), k), torch.inf)
        found = torch.full((len(rows), k), -1)
        for part in parts:
            for numbers, mixed in _mixed(model, data, (part,)):
                present = data.targets[numbers, column].isfinite()
                numbers, squared = numbers[present], squared_distances(queries, mixed[present])
                squared[places[:, None] == numbers[None]] = torch.inf
                if part == "val":
                    squared = squared.masked_fill(is_validation, torch.inf)
                best, chosen = torch.cat([best, squared], 1).topk(k, dim=1, largest=False)
                found = torch.cat([found, numbers.expand(len(rows), -1)], 1).gather(1, chosen)
    found[best.isinf()] = -1
    return found.numpy(), best.sqrt().numpy()


def _mixed(model: MixtureOfExperts, data: EmbeddingDataModule, parts: tuple[str, ...]):  # type: ignore[no-untyped-def]
    """Row numbers and mixed embeddings of some parts, some crystals at a time."""
    rows = torch.cat([data.rows[part] for part in parts])
    start = 0
    for loaded in data.evaluation_loader(*parts):
        for batch in loaded.parts(AT_ONCE):
            yield rows[start : start + len(batch.ids)], model.head.embed(batch)[0].float()
            start += len(batch.ids)
