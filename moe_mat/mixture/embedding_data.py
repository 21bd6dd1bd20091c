"""Embedded crystals as Lightning is fed them: rows, split and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from moe_mat.encoders import Device
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.batched_rows import BatchedRows
from moe_mat.mixture.data_digest import DataDigest
from moe_mat.mixture.heads.last_convolution import collate_partial
from moe_mat.mixture.weights import relative_weights, without_weightless


class EmbeddingDataModule(pl.LightningDataModule):
    """Embedded crystals, their targets and their split.

    Args:
        embeddings: The experts' embeddings side by side ``[n, sum(dims)]``.
        targets: ``[n, n_targets]``, NaN where there is no value.
        rows: Row numbers of ``train``, ``val`` and ``test``.
        ids: The crystals' names.
        partial: The crystals as what is trained of the experts needs them.
        collate: Joins some of these.
        batch_size: Crystals in a batch.
        device: Where what is trained of the experts computes when it is not being trained.
        weights: How much crystals count in learning ``[n]``, see `moe_mat.mixture.weights`; ``None`` for all alike.

    Attributes:
        given_weights: As they were given.
        weights: With the mean 1 over the training rows; ``None`` where all that are learned from are alike.
    """

    def __init__(
        self,
        embeddings: Tensor,
        targets: Tensor,
        rows: dict[str, Tensor],
        *,
        ids: Sequence[str],
        partial: list[Any] | None = None,
        collate: Callable[[list[Any]], Any] = collate_partial,
        batch_size: int = 128,
        device: Device = "auto",
        weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.embeddings, self.targets, self.ids, self.given_weights = embeddings, targets, ids, weights
        self.divide(rows)
        self.partial, self.collate = partial, collate
        self.batch_size, self.device = batch_size, device
        self.needs_partial = True  # the model says when it does not
        self.keys: list[bytes] = []  # of the structures, where they are known
        self.formulas: list[str] = []  # likewise

    def divide(self, rows: Mapping[str, Tensor]) -> None:
        """Set the row numbers of ``train``, ``val`` and ``test``; rows of weight 0 are not learned from."""
        self.rows = without_weightless(rows, self.given_weights)
        self.weights = relative_weights(self.rows, self.given_weights)

    @property
    def digest(self) -> DataDigest:
        """What identifies crystals, targets, split and weights."""
        return DataDigest.of(self.ids, self.keys, self.targets, self.rows, self.weights)

    def part(self, *names: str, by_rows: bool = False) -> Batch:
        """All rows of some parts, ``train``, ``val`` or ``test``, as one batch.

        Args:
            names: Of the parts.
            by_rows: Leave the embeddings where they are, see `Batch.rows`: a copy of them may be gigabytes.
        """
        rows = torch.cat([self.rows[name] for name in names])
        if not by_rows:
            return BatchedRows(self, rows).__getitems__(list(range(len(rows))))
        weights = None if self.weights is None else self.weights[rows]
        ids = [self.ids[row] for row in rows.tolist()]
        return Batch(self.embeddings, self.targets[rows], ids, weights=weights, rows=rows)

    def evaluation_loader(self, *names: str) -> DataLoader[Batch]:
        """Batches of the rows of some parts, ``train``, ``val`` or ``test``, in their order."""
        rows = torch.cat([self.rows[name] for name in names])
        return DataLoader(BatchedRows(self, rows), batch_size=self.batch_size, collate_fn=_as_is)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of training rows, in an order that depends on seed and epoch alone: a resumed run repeats it."""
        rows = BatchedRows(self, self.rows["train"])
        seed = torch.initial_seed() % 2**31
        sampler: DistributedSampler[Batch] = DistributedSampler(rows, num_replicas=1, rank=0, seed=seed)
        return DataLoader(rows, batch_size=self.batch_size, sampler=sampler, collate_fn=_as_is)

    def val_dataloader(self) -> DataLoader[Batch]:  # noqa: D102
        return self.evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:  # noqa: D102
        return self.evaluation_loader("test")


def _as_is(batch: Any) -> Batch:
    return batch
