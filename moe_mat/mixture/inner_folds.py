"""The folds of a cross-validation among crystals whose order is random."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

N_FOLDS = 5


def folds(n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows that are held out, and rows that are kept, of each fold of ``n`` crystals."""
    fold_of_row = torch.arange(n) % N_FOLDS
    for fold in fold_of_row.unique():
        yield (fold_of_row == fold).nonzero()[:, 0], (fold_of_row != fold).nonzero()[:, 0]
