"""Some rows of the data, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.utils.data import Dataset

from moe_mat.mixture.batch import Batch

if TYPE_CHECKING:
    from moe_mat.mixture.embedding_data import EmbeddingDataModule


class BatchedRows(Dataset[Batch]):
    """Some rows of the data as a dataset that is asked for whole batches.

    Args:
        data: With its embeddings, targets and crystals.
        rows: Their numbers ``[n]``.
    """

    def __init__(self, data: EmbeddingDataModule, rows: Tensor) -> None:
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Batch:
        rows = self.rows[positions]
        data = self.data
        partial = None
        if data.partial is not None and data.needs_partial:
            partial = data.collate([data.partial[row] for row in rows.tolist()])
        weights = None if data.weights is None else data.weights[rows]
        ids = [data.ids[row] for row in rows.tolist()]
        return Batch(data.embeddings[rows], data.targets[rows], ids, partial, weights=weights)
