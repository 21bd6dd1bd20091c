"""Batches of source data: of equal size, shuffled by seed and epoch, shared out among processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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


class Share(NamedTuple):
    """What one process has of a batch.

    Attributes:
        rows: Row numbers.
        weight: What the mean over these rows counts in the mean over processes, so that it is the mean over the batch.
    """

    rows: Tensor
    weight: float = 1.0


def share_out(rows: Tensor, sizes: Tensor, *, n_processes: int) -> list[Share]:
    """Share one batch out among processes, in parts of about equal total size.

    Of fewer rows than processes, the others get a row that does not count.

    Args:
        rows: Row numbers ``[n]``.
        sizes: Of every row that there is.
        n_processes: Number of processes.
    """
    parts = pack(rows, sizes, n_batches=min(n_processes, len(rows)))
    shares = [Share(part, len(part) * n_processes / len(rows)) for part in parts]
    return shares + [Share(rows[:1], 0.0)] * (n_processes - len(parts))


class SourceBatch(NamedTuple):
    """Some crystals.

    Attributes:
        inputs: Of the module.
        targets: Transformed ``[n, n_targets]``, NaN where there is no value.
        weight: See `Share`.
    """

    inputs: Any
    targets: Tensor
    weight: float


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


class _BatchedRows(Dataset[SourceBatch]):
    """A dataset that is asked for whole batches."""

    def __init__(self, data: SourceBatches) -> None:
        self.data = data

    def __getitem__(self, share: Share) -> SourceBatch:
        return SourceBatch(self.data.take(share.rows), self.data.targets[share.rows], share.weight)


class _ShuffledBatches(Sampler[Share]):
    """This process's shares of the batches, which depend on seed and epoch alone, however many processes there are.

    Lightning sets the epoch before it begins, after a resume too.
    """

    def __init__(self, data: SourceBatches, *, rank: int, n_processes: int) -> None:
        self.data, self.rank, self.n_processes = data, rank, n_processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.data.rows["train"]) / self.data.batch_size)

    def __iter__(self) -> Iterator[Share]:
        generator = torch.Generator().manual_seed((self.data.seed << 32) + self.epoch)
        rows = self.data.rows["train"]
        order = rows[torch.randperm(len(rows), generator=generator)]
        sizes = self.data.sizes
        for batch in pack(order, sizes, n_batches=len(self)):
            yield share_out(batch, sizes, n_processes=self.n_processes)[self.rank]


class SourceBatches(pl.LightningDataModule):
    """Batches of equal size, shuffled by seed and epoch, each shared out among processes.

    A batch is the same however many processes share it, and so is the mean of its loss; the learning rate need not be
    changed.

    Args:
        take: From row numbers to the module's inputs.
        targets: Transformed targets ``[n, n_targets]``, NaN where there is no value.
        rows: Row numbers of ``train``, ``val`` and ``test``.
        sizes: Of each crystal; ones to count crystals, numbers of atoms for graphs.
        batch_size: Crystals of mean size in a batch of all processes together.
        seed: Of the order.
        workers: Processes that join crystals into batches, beside each process that trains; 0 has it do that itself.
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
        workers: int = 0,
    ) -> None:
        super().__init__()
        if workers < 0:
            raise ValueError(f"workers is {workers}: at least 0 is needed")
        self.take, self.targets, self.rows, self.sizes = take, targets, rows, sizes
        self.batch_size, self.seed, self.workers = batch_size, seed, workers

    def evaluation_loader(self, part: str) -> DataLoader[SourceBatch]:
        """Batches of ``train``, ``val`` or ``test`` rows in their order."""
        rows = self.rows[part]
        batches = pack(rows, self.sizes, n_batches=math.ceil(len(rows) / self.batch_size))
        return self._loader([Share(batch) for batch in batches])

    def train_dataloader(self) -> DataLoader[SourceBatch]:
        """This process's share of the epoch's batches."""
        assert self.trainer is not None
        return self._loader(_ShuffledBatches(self, rank=self.trainer.global_rank, n_processes=self.trainer.world_size))

    def _loader(self, shares: Iterable[Share]) -> DataLoader[SourceBatch]:
        workers = self.workers
        return DataLoader(
            _BatchedRows(self), sampler=shares, batch_size=None, num_workers=workers, persistent_workers=workers > 0
        )

    def val_dataloader(self) -> DataLoader[SourceBatch]:  # noqa: D102
        return self.evaluation_loader("val")
