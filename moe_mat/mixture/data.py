"""What Lightning is fed: crystals are read, embedded, split and batched."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure
from torch.utils.data import DataLoader

from moe_mat.crystals.datasets import load_matminer, load_quickstart
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.crystals.grouping import formula_groups, group_labels
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.splits import Split
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.training_crystals import volume_per_atom
from moe_mat.crystals.units import units_of
from moe_mat.encoders import Device
from moe_mat.files.progress import Progress
from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.class_targets import classes_of, targets_of
from moe_mat.mixture.crystal_inputs import CrystalInputs, embed_rows
from moe_mat.mixture.crystal_stream import CrystalStream
from moe_mat.mixture.data_checks import DataChecks, check_data
from moe_mat.mixture.data_split import n_learned_rows, split_rows
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.settings import DataSettings, Trainable, column_names
from moe_mat.mixture.weights import weighed, weightless_rows
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.clusters import cluster_labels
from moe_mat.zoo.compositions import are_formulas, check_formulas, experts_of_formulas
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.unknown_elements import KnowingExperts

logger = logging.getLogger(__name__)

QUICKSTART = "dcdft"
QUICKSTART_TARGET, QUICKSTART_UNIT = "bulk_modulus", "GPa"


class CrystalDataModule(EmbeddingDataModule):
    """Crystals from a file, a folder or a matminer data set.

    Without a path and a data set it is the quickstart: ASE's 71 elemental crystals (``dcdft``) and their experimental
    bulk moduli in GPa.

    Args:
        settings: Where the crystals are, what is to be predicted, and how they are split.
        experts: Those that embed the crystals.
        classes: Those that a model knows; of a new model the data have them, see `find_classes`.
        trainable: What is trained of them.
        device: Where they compute.

    Attributes:
        name: What run folders are called after.
        target_columns: Names of the targets.
        units: Target to its unit, where it is known.
        left_out: Crystals that could not be used.
        checks: What is wrong with data and split, looked for before a training.
        crystals: A row a crystal: its reduced ``formula``, ``n_atoms`` of the cell, and ``volume`` in Å³ per atom.

    Raises:
        ValueError: When both a path and a data set are given, or both a file of splits and groups.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        experts: str | list[str] = "default",
        classes: list[str] | None = None,
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
        self.settings, self.experts, self.classes, self.trainable = settings, experts, classes, trainable
        self.name = settings.name or (Path(settings.path).stem if settings.path else str(settings.dataset))
        target = settings.target
        self.target_columns = [target] if isinstance(target, str) else list(target or [])
        self.units = units_of(self.target_columns, settings.unit)
        self.left_out: list[LeftOut] = []
        self.checks = DataChecks()
        self.crystals = pd.DataFrame()
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
        return load_matminer(str(dataset), require_structures=False)

    def choose_experts(self) -> str | list[str]:
        """The experts that a model on these data is to use, as names that find them; the others are left out.

        These are all of them, unless the settings want those left out that do not know some element. Of formulas, a
        tier is that of the experts which need no structure.

        Raises:
            CardError: When there is no such expert, or one needs structures where there are formulas.
        """
        find_cards(self.experts)  # before the crystals are read, which may take long
        self._read = self._read or self._read_crystals()
        structures = self._read[0]
        if are_formulas(structures):
            self.experts = experts_of_formulas(self.experts)
        cards = find_cards(self.experts)
        check_formulas(cards, structures)
        if self.settings.on_unknown_element == "drop_expert":
            knowing = KnowingExperts.of(cards, structures)
            self._experts_left_out = knowing.left_out
            self.experts = [card.reference for card in knowing.cards]
        return self.experts

    def find_classes(self) -> list[str] | None:
        """The classes of the target, in order; ``None`` where the targets are numbers.

        Raises:
            ValueError: When they cannot be learned, see `moe_mat.mixture.class_targets.classes_of`.
        """
        if self.classes is None:
            self._read = self._read or self._read_crystals()
            self.classes = classes_of(self._read[1], self.target_columns, place=self.place)
        return self.classes

    def n_learned_rows(self) -> int:
        """Training and validation rows, before anything is embedded: crystals that are refused then are counted."""
        self._read = self._read or self._read_crystals()
        return n_learned_rows(self._read[1], self.settings, left_out={one.material_id for one in self.left_out})

    def _read_crystals(self) -> tuple[list[Structure], pd.DataFrame]:
        if not self.target_columns:
            raise ValueError(f"no target given for {self.place}: name its column with --data.target")
        settings = self.settings
        structures, table = read_structures(
            self.source,
            targets=self.target_columns,
            kind="class" if self.classes else settings.kind,
            id_column=settings.id_column,
            structure_column=settings.structure_column,
            on_error=settings.on_error,
        )
        self.left_out += [LeftOut(**row) for row in table.attrs["left_out"]]
        if (column := settings.weight_column) is not None:
            structures, table = weighed(
                structures,
                table,
                column,
                lambda name, reason: self.leave_out(LeftOut(self.place, name, column, reason)),
            )
        if not structures:
            first = f"; the first: {self.left_out[0]}" if self.left_out else ""
            raise ValueError(f"{self.place} has no crystal that can be used{first}")
        return structures, table

    def setup(self, stage: str) -> None:
        """Read, embed and split; predicting streams instead."""
        if stage == "predict" or self._loaded:
            return
        structures, table = self.load()
        split = self.split_of(structures, table)._asdict()
        rows = {part: torch.as_tensor(of_part) for part, of_part in split.items()}
        self.divide(rows)
        if stage == "fit":
            names = column_names(self.target_columns, self.classes)
            found = check_data(structures, self.ids, self.targets, self.rows, names, of_classes=bool(self.classes))
            weightless = weightless_rows(rows, self.rows)
            self.checks = replace(found, warnings=(*self._experts_left_out, *weightless, *found.warnings))
        self._loaded = True

    def load(self) -> tuple[list[Structure], pd.DataFrame]:
        """Read and embed; returns the crystals that all experts can represent, and their rows."""
        structures, table = self._embed(*(self._read or self._read_crystals()))
        self._read = None
        self.targets = targets_of(table, self.target_columns, self.classes, place=self.place)
        self.ids = table["material_id"].astype(str).tolist()
        column = self.settings.weight_column
        self.given_weights = None if column is None else torch.tensor(table[column].to_numpy(dtype=float))
        inputs = CrystalInputs(self.trainable, find_cards(self.experts), self.device)
        self.partial, self.collate = inputs(structures), inputs.collate
        self.keys = [structure_key(structure) for structure in structures]
        self.formulas = formula_groups(structures).tolist()
        n_atoms = np.array([len(structure) for structure in structures])
        volumes = np.array([volume_per_atom(structure) for structure in structures])
        self.crystals = pd.DataFrame({"formula": self.formulas, "n_atoms": n_atoms, "volume": volumes})
        return structures, table

    def groups(self, structures: list[Structure], table: pd.DataFrame) -> list[object] | None:
        """What each crystal that was loaded belongs to ``[n]``; ``None`` where nothing is kept together."""
        if self.settings.group != "cluster":
            return None if self.settings.group is None else group_labels(self.settings.group, structures, table)
        cards = find_cards(self.experts)
        parts = zip(cards, self.embeddings.split([card.dim for card in cards], dim=1), strict=True)
        return cluster_labels({card.tag: part.numpy() for card, part in parts}).tolist()

    def split_of(self, structures: list[Structure], table: pd.DataFrame) -> Split:
        """The split of crystals that were loaded, from a file or at random."""
        labels = labels_of(self.targets).tolist() if self.classes else None
        groups, left_out = self.groups(structures, table), {left.material_id for left in self.left_out}
        return split_rows(table, self.settings, groups=groups, classes=labels, left_out=left_out)

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
        self.embeddings = _kept(values, kept)
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


def _kept(values: torch.Tensor, kept: np.ndarray) -> torch.Tensor:
    """The rows that are kept, moved up in place: a copy may be gigabytes."""
    rows = torch.from_numpy(np.flatnonzero(kept))
    if len(rows) < len(values):
        for start, some in zip(range(0, len(rows), AT_ONCE), rows.split(AT_ONCE), strict=True):
            values[start : start + len(some)] = values[some]
    return values[: len(rows)]
