"""Batches of source data: of equal size, shuffled by seed and epoch, shared out among processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


def pack(rows: Tensor, sizes: Tensor, *, n_batches: int) -> list[Tensor]:
    """Cut rows, in their order, into batches of about equal total size, none of them empty.

    Args:
        rows: Row numbers ``[n]``.
        sizes: Of every row that there is, such as its number of atoms.
        n_batches: At most ``n``.

    Example:
        >>> pack(torch.arange(4), torch.tensor([9, 1, 1, 1]), n_batches=2)
        [tensor([0]), tensor([1, 2, 3])]
    """
    upto = sizes[rows].double().cumsum(0)
    number = torch.arange(1, n_batches)
    ends = torch.searchsorted(upto, number * upto[-1] / n_batches) + 1
    # A huge crystal fills several shares: each batch keeps a row of its own all the same.
    ends = ((ends - number).cummax(0).values + number).clamp_max(len(rows) - n_batches + number)
    return list(rows.tensor_split(ends))


@dataclass(frozen=True)
class SourceInputs:
    """How the crystals of a source become inputs of a module.

    Attributes:
        take: From row numbers to the module's inputs.
        sizes: Of each crystal ``[n]``; ones to count crystals, numbers of atoms for graphs.
    """

    take: Callable[[Tensor], Any]
    sizes: Tensor

    @classmethod
    def of_samples(cls, samples: Sequence[Any], collate: Callable[[list[Any]], Any]) -> SourceInputs:
        """What an encoder's ``prepare`` made of crystals, which knows their atomic numbers, and its ``collate``."""
        return cls(
            take=lambda rows: collate([samples[row] for row in rows.tolist()]),
            sizes=torch.tensor([len(sample.atomic_numbers) for sample in samples]),
        )

    @classmethod
    def of_embeddings(cls, embeddings: Tensor) -> SourceInputs:
        """Rows of embeddings ``[n, dim]``."""
        return cls(take=lambda rows: embeddings[rows], sizes=torch.ones(len(embeddings)))


class _BatchedRows(Dataset[tuple[Any, Tensor]]):
    """A dataset that is asked for whole batches."""

    def __init__(self, data: SourceBatches) -> None:
        self.data = data

    def __getitem__(self, rows: Tensor) -> tuple[Any, Tensor]:
        return self.data.take(rows), self.data.targets[rows]


class _ShuffledBatches(Sampler[Tensor]):
    """Rows of this process's batches, in an order that depends on seed and epoch alone.

    Lightning sets the epoch before it begins, after a resume too.
    """

    def __init__(self, data: SourceBatches, *, n_batches: int, process: slice) -> None:
        self.data, self.n_batches, self.process = data, n_batches, process
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(range(*self.process.indices(self.n_batches)))

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed((self.data.seed << 32) + self.epoch)
        rows = self.data.rows["train"]
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from pack(order, self.data.sizes, n_batches=self.n_batches)[self.process]


class SourceBatches(pl.LightningDataModule):
    """Batches of equal size, shuffled by seed and epoch, shared out among processes.

    Args:
        take: From row numbers to the module's inputs.
        targets: Transformed targets ``[n, n_targets]``, NaN where there is no value.
        rows: Row numbers of ``train``, ``val`` and ``test``.
        sizes: Of each crystal; ones to count crystals, numbers of atoms for graphs.
        batch_size: Crystals of mean size in a batch.
        seed: Of the order.
    """

    def __init__(
        self,
        take: Callable[[Tensor], Any],
        targets: Tensor,
        rows: dict[str, Tensor],
        *,
        sizes: Tensor,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.take, self.targets, self.rows, self.sizes = take, targets, rows, sizes
        self.batch_size, self.seed = batch_size, seed

    def evaluation_loader(self, part: str) -> DataLoader[tuple[Any, Tensor]]:
        """Batches of ``train``, ``val`` or ``test`` rows in their order."""
        rows = self.rows[part]
        batches = pack(rows, self.sizes, n_batches=math.ceil(len(rows) / self.batch_size))
        return DataLoader(_BatchedRows(self), sampler=batches, batch_size=None)

    def train_dataloader(self) -> DataLoader[tuple[Any, Tensor]]:
        """This process's share of the epoch's batches; all processes have equally many."""
        assert self.trainer is not None
        world, rank = self.trainer.world_size, self.trainer.global_rank
        n_rows = len(self.rows["train"])
        n_batches = math.ceil(n_rows / self.batch_size / world) * world
        if n_batches > n_rows:
            raise ValueError(f"{n_rows} training rows are too few for {world} processes")
        sampler = _ShuffledBatches(self, n_batches=n_batches, process=slice(rank, None, world))
        return DataLoader(_BatchedRows(self), sampler=sampler, batch_size=None)

    def val_dataloader(self) -> DataLoader[tuple[Any, Tensor]]:  # noqa: D102
        return self.evaluation_loader("val")
