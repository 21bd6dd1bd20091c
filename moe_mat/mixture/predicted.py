"""What a model says of crystals, and what tells how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

# Percentile beyond which a crystal is outside: farther from all others than 19 of 20 crystals of the training are.
OUTSIDE = 95.0


class Predicted(NamedTuple):
    """What is said of some crystals.

    Attributes:
        values: Targets in their units ``[n, n_targets]``.
        signs: Of a large error, as logarithms ``[n, n_targets, n_signs]``; as many as the head knows, or none.
        distances: To the nearest crystal that was learned from, in the mixed embedding ``[n, n_targets]``.
    """

    values: Tensor
    signs: Tensor
    distances: Tensor

    def column(self, number: int) -> Predicted:
        """What is said of one target: ``[n]``, ``[n, n_signs]`` and ``[n]``."""
        return Predicted(self.values[:, number], self.signs[:, number], self.distances[:, number])


class Said(NamedTuple):
    """What a model says of some crystals, and how far they are from those that it has learned from.

    Attributes:
        predicted: By the head.
        percentiles: Of the crystals of the training, the share in per cent that are nearer to the others than a crystal
            is to the nearest of them ``[n, n_targets]``.
        beyond: How far the composition is beyond those of the training, from 0 to 1 ``[n]``, see
            `moe_mat.mixture.composition_range`.
    """

    predicted: Predicted
    percentiles: Tensor
    beyond: Tensor

    @property
    def outside(self) -> Tensor:
        """Whether a crystal is outside of what was learned ``[n, n_targets]``."""
        return (self.percentiles > OUTSIDE) | (self.beyond > 0)[:, None]

    def domain(self, prefixes: Sequence[str]) -> pd.DataFrame:
        """The columns ``percentile`` and ``outside`` of each target, with these before their names."""
        columns = {}
        for number, prefix in enumerate(prefixes):
            columns[f"{prefix}percentile"] = self.percentiles[:, number].numpy()
            columns[f"{prefix}outside"] = self.outside[:, number].numpy()
        return pd.DataFrame(columns)

    @classmethod
    def joined(cls, several: Sequence[Said]) -> Said:
        """Of several batches of crystals, one after the other."""
        said = [(*one.predicted, one.percentiles, one.beyond) for one in several]
        *predicted, percentiles, beyond = (torch.cat(of_kind) for of_kind in zip(*said, strict=True))
        return cls(Predicted(*predicted), percentiles, beyond)

    @classmethod
    def mean(cls, several: Sequence[Said]) -> Said:
        """Of several models of the same targets, in double precision."""
        said = [(*one.predicted, one.percentiles, one.beyond) for one in several]
        *predicted, percentiles, beyond = (torch.stack(of_kind).double().mean(0) for of_kind in zip(*said, strict=True))
        return cls(Predicted(*predicted), percentiles, beyond)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a model says of crystals that it had not learned from when it said it.

    Attributes:
        ids: The crystals' names ``[n]``.
        targets: Their values ``[n, n_targets]``; NaN where there is none.
        predicted: What was said of them; NaN where nothing was.
    """

    ids: Sequence[str]
    targets: Tensor
    predicted: Predicted

    @classmethod
    def of_columns(
        cls, ids: Sequence[str], targets: Tensor, columns: Sequence[tuple[Tensor, Predicted] | None]
    ) -> HeldOut:
        """Targets that were said of different crystals, as one.

        Args:
            ids: Of all crystals.
            targets: Of all crystals ``[n, n_targets]``.
            columns: Of each target, which rows ``[m]`` and what was said of them: ``[m]``, ``[m, n_signs]`` and
                ``[m]``. `None` where nothing was.
        """
        n_signs = max((said.signs.shape[1] for _, said in filter(None, columns)), default=0)
        shapes = targets.shape, (*targets.shape, n_signs), targets.shape
        joined = Predicted(*(torch.full(shape, torch.nan) for shape in shapes))
        for number, column in enumerate(columns):
            if column is not None:
                rows, said = column
                for whole, values in zip(joined, said, strict=True):
                    whole[rows, number] = values
        return cls(ids, targets, joined)

    @classmethod
    def mean(cls, several: Sequence[HeldOut]) -> HeldOut:
        """What the mean of several models says, each of what it had not learned from.

        A crystal that some models had learned from is judged by the others alone.
        """
        if len(several) == 1:
            return several[0]
        rows = {name: row for row, name in enumerate(dict.fromkeys(name for one in several for name in one.ids))}
        targets = torch.full((len(rows), several[0].targets.shape[1]), torch.nan)
        placed = []
        for one in several:
            where = torch.tensor([rows[name] for name in one.ids], dtype=torch.long)
            targets[where] = one.targets
            placed.append([_placed(values, where, len(rows)) for values in one.predicted])
        means = [torch.stack(of_kind).nanmean(0) for of_kind in zip(*placed, strict=True)]
        return cls(list(rows), targets, Predicted(*means))


def _placed(values: Tensor, rows: Tensor, n: int) -> Tensor:
    placed = torch.full((n, *values.shape[1:]), torch.nan)
    placed[rows] = values
    return placed
