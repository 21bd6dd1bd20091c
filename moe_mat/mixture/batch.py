"""What gate and head see of some crystals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Crystals that a model sees at once, so that memory does not grow with their number.
AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Batch:
    """Some crystals.

    Attributes:
        embeddings: The experts' embeddings side by side ``[n, sum(dims)]``.
        targets: ``[n, n_targets]``, NaN where there is no value; ``None`` when predicting.
        ids: The crystals' names.
        partial: The crystals as what is trained of the experts needs them, see `moe_mat.mixture.crystal_inputs`.
        keys: What identifies their structures, see `moe_mat.crystals.structures.structure_key`; may be empty.
        rows: Which rows of the embeddings are theirs ``[n]``, where these are of more crystals: for heads that ask for
            no more than `embeddings_at`.
        weights: How much they count in learning ``[n]``, see `moe_mat.mixture.weights`; ``None`` where all are alike.
    """

    embeddings: Tensor
    targets: Tensor | None
    ids: Sequence[str]
    partial: Any = None
    keys: Sequence[bytes] = ()
    weights: Tensor | None = None
    rows: Tensor | None = None

    def embeddings_at(self, positions: Tensor) -> Tensor:
        """Embeddings of some of the crystals ``[m, sum(dims)]``."""
        return self.embeddings[positions if self.rows is None else self.rows[positions]]

    def parts(self, size: int) -> Iterator[Batch]:
        """The same crystals, at most so many at a time; all at once where experts are trained."""
        if self.partial is not None or len(self.embeddings) <= size:
            yield self
            return
        for start in range(0, len(self.embeddings), size):
            some = slice(start, start + size)
            targets = None if self.targets is None else self.targets[some]
            weights = None if self.weights is None else self.weights[some]
            yield Batch(self.embeddings[some], targets, self.ids[some], None, self.keys[some], weights)

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """Crystals with targets of several batches as one, without what is trained of the experts."""
        targets = [part.targets for part in parts if part.targets is not None]
        weights = [part.weights for part in parts if part.weights is not None]
        return Batch(
            torch.cat([part.embeddings for part in parts]),
            torch.cat(targets) if targets else None,
            [name for part in parts for name in part.ids],
            weights=torch.cat(weights) if weights else None,
        )

    def to(self, device: torch.device | str, **kwargs: Any) -> Batch:
        """Move to a device; Lightning calls this."""
        return Batch(
            self.embeddings.to(device),
            None if self.targets is None else self.targets.to(device),
            self.ids,
            None if self.partial is None else self.partial.to(device),
            self.keys,
            None if self.weights is None else self.weights.to(device),
        )


def side_by_side(values: Mapping[str, np.ndarray]) -> Tensor:
    """Embeddings of several experts as one tensor ``[n, sum(dims)]``."""
    return torch.from_numpy(np.concatenate(list(values.values()), axis=1))
