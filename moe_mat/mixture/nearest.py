"""The crystals of the training that are nearest to others, by the distance that the model itself goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.module import MixtureOfExperts

# Crystals whose differences from their neighbours are in memory at once.
CHUNK = 64


class Nearest(NamedTuple):
    """The nearest crystals of the training, of some others.

    Attributes:
        rows: Which of the crystals that were learned from ``[n, k]``, the nearest first.
        distances: To them ``[n, k]``.
        shares: Each expert's share of the squared distance ``[n, k, n_experts]``, which sum to 1, and are NaN where
            there is no distance; ``None`` where the head mixes experts, so that they have none of their own.
    """

    rows: Tensor
    distances: Tensor
    shares: Tensor | None


def nearest_training(
    module: MixtureOfExperts, batch: Batch, k: int, *, target: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of the crystals that a model has learned from.

    Args:
        module: Fitted.
        batch: n crystals, embedded by the model's experts.
        k: How many of the nearest; no more than there are.
        target: For which of the targets; each has its own distance where the head is ``kernel`` or ``inducing``. So
            does each class, and the distance is their mean.

    Returns:
        Which ones ``[n, k]``, the nearest first: numbers in ``module.learned`` (`LearnedCrystals`: ids, formulas,
        targets), or, of a checkpoint from before models noted these, in the order in which the head keeps them. And
        their distances ``[n, k]``: in length scales of the process (``kernel``; ``inducing``, to the nearest
        landmarks), or in the mixed embedding.

    Raises:
        ValueError: When k is less than 1, or the head keeps no crystals.

    Example:
        >>> from moe_mat import MoERegressor
        >>> from moe_mat.crystals.datasets import load_quickstart
        >>> from moe_mat.mixture.crystal_inputs import embed_crystals
        >>> structures, table = load_quickstart()
        >>> model = MoERegressor("magpie", n_members=1, max_epochs=1, random_state=0)
        >>> member = model.fit(structures, table["bulk_modulus"]).members_[0]
        >>> batch = embed_crystals(member.cards, structures[:4], "none", device="cpu").batch
        >>> indices, distances = nearest_training(member, batch, 3)
        >>> indices.shape, distances[:, 0].tolist(), [member.learned.formulas[i] for i in indices[:, 0]]
        ((4, 3), [0.0, 0.0, 0.0, 0.0], ['Li', 'C', 'Ne', 'Na'])
    """
    found = nearest_of([module], [rows_kept(module)], batch, k, columns=module.columns_of(target))
    return found.rows.numpy(), found.distances.numpy()


def rows_kept(module: MixtureOfExperts) -> Sequence[Tensor]:
    """Which crystals the head keeps for each of its columns ``[n_kept]``; where none has a name, in its order."""
    if module.learned is not None:
        return module.learned.rows
    return [torch.arange(len(module.head.known_positions(column))) for column in range(len(module.domains))]


@torch.inference_mode()
def nearest_of(
    models: Sequence[MixtureOfExperts],
    rows: Sequence[Sequence[Tensor]],
    batch: Batch,
    k: int,
    *,
    columns: Sequence[int],
) -> Nearest:
    """The nearest crystals of the training by the mean distance of several models, see `nearest_training`.

    Args:
        models: Fitted, with the same experts.
        rows: What each of them calls the crystals that its head keeps for each of its columns, in its order
            ``[n_kept]``. A crystal that some do not keep has the mean distance of the others.
        batch: n crystals.
        k: How many of the nearest.
        columns: Of the heads, whose distances are averaged: that of a target, or those of the classes.
    """
    if k < 1:
        raise ValueError(f"k is {k}: ask for 1 neighbour or more")
    of_models = zip(models, rows, strict=True)
    kept = [_Kept(model.eval(), of_model[column], column) for model, of_model in of_models for column in columns]
    if not all(len(one.positions) for one in kept):
        raise ValueError("the model keeps no crystals that distances could be measured from: fit it first")
    size = 1 + max(int(one.rows.max()) for one in kept)
    places = [model.head.positions(batch, column).split(CHUNK) for model in models for column in columns]
    found = [_of_chunk(kept, chunk, k, size) for chunk in zip(*places, strict=True)]
    rows_of, distances, shares = zip(*found, strict=True)
    apart = None if shares[0] is None else torch.cat([one for one in shares if one is not None])
    return Nearest(torch.cat(rows_of), torch.cat(distances), apart)


class _Kept:
    """The crystals that a model keeps for a column of its head."""

    def __init__(self, model: MixtureOfExperts, rows: Tensor, column: int) -> None:
        self.rows, self.positions = rows, model.head.known_positions(column)
        self.experts, self.n_experts = model.head.experts_of_axes(column), len(model.cards)

    def apart(self, positions: Tensor, near: Tensor) -> tuple[Tensor, Tensor | None]:
        """Distances of crystals ``[n, width]`` from some of these ``[n, k]``, and the experts' shares."""
        # Squares that are subtracted leave a thousandth where there is nothing, so they are not.
        squared = (positions[:, None] - self.positions[near]).square()
        total = squared.sum(2)
        if self.experts is None:
            return total.sqrt(), None
        of_experts = torch.zeros(*near.shape, self.n_experts).index_add_(2, self.experts, squared)
        return total.sqrt(), of_experts / total[:, :, None]


def _of_chunk(kept: Sequence[_Kept], positions: Sequence[Tensor], k: int, size: int) -> Nearest:
    total, count = torch.zeros(len(positions[0]), size), torch.zeros(size)
    numbers = []
    for one, of_model in zip(kept, positions, strict=True):
        total[:, one.rows] += squared_distances(of_model, one.positions).sqrt()
        count[one.rows] += 1
        numbers.append(torch.full((size,), -1).scatter(0, one.rows, torch.arange(len(one.rows))))
    mean = torch.where(count > 0, total / count, torch.inf)
    near = mean.topk(min(k, int((count > 0).sum())), largest=False).indices
    distances, shares = zip(
        *(
            _unknown_left_out(one.apart(of_model, number[near].clamp_min(0)), number[near] < 0)
            for one, of_model, number in zip(kept, positions, numbers, strict=True)
        ),
        strict=True,
    )
    exact, order = torch.stack(distances).nanmean(0).sort(dim=1, stable=True)
    if shares[0] is None:
        return Nearest(near.gather(1, order), exact, None)
    apart = torch.stack(shares).nanmean(0)
    return Nearest(near.gather(1, order), exact, apart.gather(1, order[:, :, None].expand_as(apart)))


def _unknown_left_out(apart: tuple[Tensor, Tensor | None], unknown: Tensor) -> tuple[Tensor, Tensor | None]:
    distances, shares = apart
    blank = None if shares is None else shares.masked_fill(unknown[:, :, None], torch.nan)
    return distances.masked_fill(unknown, torch.nan), blank
