"""What Lightning is fed: crystals are read, embedded, split and batched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pymatgen.core import Structure
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from moe_mat.crystals.datasets import load_matminer, load_quickstart
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.crystals.grouping import group_labels
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import Split, group_split, random_split, read_split
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.units import units_of
from moe_mat.encoders import Device
from moe_mat.files.progress import Progress
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.batched_rows import BatchedRows
from moe_mat.mixture.crystal_inputs import CrystalInputs, embed_rows
from moe_mat.mixture.crystal_stream import CrystalStream
from moe_mat.mixture.data_checks import DataChecks, check_data
from moe_mat.mixture.data_digest import DataDigest
from moe_mat.mixture.heads.last_convolution import collate_partial
from moe_mat.mixture.settings import DataSettings, Trainable
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.clusters import cluster_labels
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts

logger = logging.getLogger(__name__)

QUICKSTART = "dcdft"
QUICKSTART_TARGET, QUICKSTART_UNIT = "bulk_modulus", "GPa"


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
    ) -> None:
        super().__init__()
        self.embeddings, self.targets, self.rows, self.ids = embeddings, targets, rows, ids
        self.partial, self.collate = partial, collate
        self.batch_size, self.device = batch_size, device
        self.needs_partial = True  # the model says when it does not
        self.keys: list[bytes] = []  # of the structures, where they are known

    @property
    def digest(self) -> DataDigest:
        """What identifies crystals, targets and split."""
        return DataDigest.of(self.ids, self.keys, self.targets, self.rows)

    def part(self, *names: str) -> Batch:
        """All rows of some parts, ``train``, ``val`` or ``test``, as one batch."""
        rows = torch.cat([self.rows[name] for name in names])
        return BatchedRows(self, rows).__getitems__(list(range(len(rows))))

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


class CrystalDataModule(EmbeddingDataModule):
    """Crystals from a file, a folder or a matminer data set.

    Without a path and a data set it is the quickstart: ASE's 71 elemental crystals (``dcdft``) and their experimental
    bulk moduli in GPa.

    Args:
        settings: Where the crystals are, what is to be predicted, and how they are split.
        experts: Those that embed the crystals.
        trainable: What is trained of them.
        device: Where they compute.

    Attributes:
        name: What run folders are called after.
        target_columns: Names of the targets.
        units: Target to its unit, where it is known.
        left_out: Crystals that could not be used.
        checks: What is wrong with data and split, looked for before a training.

    Raises:
        ValueError: When both a path and a data set are given, or both a file of splits and groups.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        experts: str | list[str] = "default",
        trainable: Trainable = "none",
        device: Device = "auto",
    ) -> None:
        if settings.path is not None and settings.dataset is not None:
            raise ValueError("data.path and data.dataset are both given: choose one")
        if settings.splits is not None and settings.group is not None:
            raise ValueError("data.group is for random splits, and data.splits gives others: choose one")
        if settings.path is None and settings.dataset is None:
            settings = replace(settings, dataset=QUICKSTART, target=settings.target or QUICKSTART_TARGET)
        if settings.dataset == QUICKSTART and settings.target == QUICKSTART_TARGET:
            settings = replace(settings, unit=settings.unit or QUICKSTART_UNIT)
        nothing = torch.empty(0)
        super().__init__(nothing, nothing, {}, ids=[], batch_size=settings.batch_size, device=device)
        self.settings, self.experts, self.trainable = settings, experts, trainable
        self.name = settings.name or (Path(settings.path).stem if settings.path else str(settings.dataset))
        target = settings.target
        self.target_columns = [target] if isinstance(target, str) else list(target or [])
        self.units = units_of(self.target_columns, settings.unit)
        self.left_out: list[LeftOut] = []
        self.checks = DataChecks()
        self._read: tuple[list[Structure], pd.DataFrame] | None = None  # where they have been looked at before
        self._experts_left_out: list[str] = []
        self._loaded = False

    @property
    def source(self) -> str | pd.DataFrame:
        """What the readers read: the path, or the downloaded table."""
        path, dataset = self.settings.path, self.settings.dataset
        if path is not None:
            return path
        if dataset == QUICKSTART:
            structures, table = load_quickstart()
            self.left_out = [LeftOut(**row) for row in table.attrs["left_out"]]
            return table.assign(structure=pd.Series(structures, dtype=object))
        return load_matminer(str(dataset))

    def choose_experts(self) -> list[str]:
        """The experts that a model on these data is to use, as names that find them; the others are left out.

        These are all of them, unless the settings want those left out that do not know some element.
        """
        cards = find_cards(self.experts)
        if self.settings.on_unknown_element == "drop_expert":
            self._read = self._read or self._read_crystals()
            knowing = KnowingExperts.of(cards, self._read[0])
            cards, self._experts_left_out = knowing.cards, knowing.left_out
            self.experts = [card.reference for card in cards]
        return [card.reference for card in cards]

    def n_learned_rows(self) -> int:
        """Training and validation rows, before anything is embedded: crystals that are refused then are counted."""
        self._read = self._read or self._read_crystals()
        table, settings = self._read[1], self.settings
        if settings.splits is None:
            return round((1 - settings.fractions[2]) * len(table))
        split = read_split(settings.splits, settings.split, table, left_out={one.material_id for one in self.left_out})
        return len(split.train) + len(split.val)

    def _read_crystals(self) -> tuple[list[Structure], pd.DataFrame]:
        if not self.target_columns:
            raise ValueError(f"no target given for {self.place}: name its column with --data.target")
        settings = self.settings
        structures, table = read_structures(
            self.source,
            targets=self.target_columns,
            id_column=settings.id_column,
            structure_column=settings.structure_column,
            on_error=settings.on_error,
        )
        self.left_out += [LeftOut(**row) for row in table.attrs["left_out"]]
        if not structures:
            first = f"; the first: {self.left_out[0]}" if self.left_out else ""
            raise ValueError(f"{self.place} has no crystal that can be used{first}")
        return structures, table

    def setup(self, stage: str) -> None:
        """Read, embed and split; predicting streams instead."""
        if stage == "predict" or self._loaded:
            return
        structures, table = self.load()
        self.rows = {part: torch.as_tensor(rows) for part, rows in self.divide(structures, table)._asdict().items()}
        if stage == "fit":
            found = check_data(structures, self.ids, self.targets, self.rows, self.target_columns)
            self.checks = replace(found, warnings=(*self._experts_left_out, *found.warnings))
        self._loaded = True

    def load(self) -> tuple[list[Structure], pd.DataFrame]:
        """Read and embed; returns the crystals that all experts can represent, and their rows."""
        structures, table = self._embed(*(self._read or self._read_crystals()))
        self._read = None
        self.targets = torch.tensor(table[self.target_columns].to_numpy(dtype=np.float32))
        self.ids = table["material_id"].astype(str).tolist()
        inputs = CrystalInputs(self.trainable, find_cards(self.experts), self.device)
        self.partial, self.collate = inputs(structures), inputs.collate
        self.keys = [structure_key(structure) for structure in structures]
        return structures, table

    def groups(self, structures: list[Structure], table: pd.DataFrame) -> list[object] | None:
        """What each crystal that was loaded belongs to ``[n]``; ``None`` where nothing is kept together."""
        if self.settings.group != "cluster":
            return None if self.settings.group is None else group_labels(self.settings.group, structures, table)
        cards = find_cards(self.experts)
        parts = self.embeddings.split([card.dim for card in cards], dim=1)
        return cluster_labels({card.tag: part.numpy() for card, part in zip(cards, parts, strict=True)}).tolist()

    def divide(self, structures: list[Structure], table: pd.DataFrame) -> Split:
        """The split of crystals that were loaded, from a file or at random."""
        settings = self.settings
        if settings.splits:
            left_out = {left.material_id for left in self.left_out}
            return read_split(settings.splits, settings.split, table, left_out=left_out)
        groups = self.groups(structures, table)
        if groups is None:
            return random_split(len(table), fractions=settings.fractions, seed=settings.split)
        return group_split(groups, fractions=settings.fractions, seed=settings.split)

    @property
    def place(self) -> str:
        """The path or the name of the data set, for messages."""
        return str(self.settings.path or self.settings.dataset)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: where its data were, for messages."""
        return asdict(self.settings)

    def _embed(self, structures: list[Structure], table: pd.DataFrame) -> tuple[list[Structure], pd.DataFrame]:
        """Set the embeddings; returns the crystals that all experts can represent, and their rows."""
        with Progress("embedding crystals", total=len(structures)) as progress, EmbeddingCache() as cache:
            cards, workers, advance = find_cards(self.experts), self.settings.workers, progress.advance
            values, embedded = embed_rows(
                cards, structures, cache=cache, advance=advance, workers=workers, device=self.device
            )
        names = table["material_id"].iloc[list(embedded.refused)].astype(str).tolist()
        for name, reason in zip(names, embedded.refused.values(), strict=True):
            said = reason if self.settings.on_error == "skip" else embedded.first_reason(names)
            self.leave_out(LeftOut(self.place, name, None, said))
        kept = np.array([row not in embedded.refused for row in range(len(table))], dtype=bool)
        self.embeddings = values if kept.all() else values[kept]
        return [s for s, keep in zip(structures, kept, strict=True) if keep], table[kept].reset_index(drop=True)

    def leave_out(self, left_out: LeftOut) -> None:
        """Note a crystal that cannot be used, or stop at it.

        Raises:
            CrystalError: When the settings want that.
        """
        if self.settings.on_error == "raise":
            raise CrystalError(left_out)
        logger.warning("left out: %s", left_out)
        self.left_out.append(left_out)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Stream all crystals of the source in their order, in bounded memory; targets are not needed."""
        return DataLoader(CrystalStream(self, find_cards(self.experts)), batch_size=None)
