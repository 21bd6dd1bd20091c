"""One training on source data: it goes on where an interrupted one ended, and is scored as it is stored."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.held_out import HeldOut
from moe_mat.encoders import Device
from moe_mat.files.locks import only_writer
from moe_mat.pretrain.batches import SourceBatches, SourceInputs
from moe_mat.pretrain.export import Experts, score
from moe_mat.pretrain.ground_states import ground_states
from moe_mat.pretrain.processes import Processes
from moe_mat.pretrain.recipes import SourceRecipe
from moe_mat.pretrain.settings import Training
from moe_mat.pretrain.sources import SourceData, read_source
from moe_mat.pretrain.targets import SourceTarget
from moe_mat.pretrain.training import SourceModule, fit_source_module

logger = logging.getLogger(__name__)

Module = TypeVar("Module", bound=SourceModule)


@dataclass(frozen=True)
class SourceJob:
    """What all trainings of one recipe share.

    Attributes:
        recipe: What is trained on.
        data: Folder of the source's file.
        output: Folder of the experts.
        runs: Folder of checkpoints and logs.
        trainer: Arguments of Lightning's Trainer.
        processes: Of each training.
        device: Where a trunk computes.
        workers: See `SourceBatches`.
    """

    recipe: SourceRecipe
    data: Path
    output: Path
    runs: Path
    trainer: Mapping[str, object]
    processes: Processes
    device: Device
    workers: int

    def read(self, training: Training, targets: Sequence[str], prepare: Callable[[Structure], Any]) -> SourceData:
        """The crystals that a training may see."""
        exclude = HeldOut.read((self.data / name for name in self.recipe.exclude_formulas), any_volume=True)
        source = read_source(
            self.recipe, self.data, targets=targets, max_atoms=training.max_atoms, prepare=prepare, exclude=exclude
        )
        if self.recipe.exclude_formulas:
            source = replace(source, training_crystals=source.training_crystals.of_crystals(source.ids))
        if self.recipe.ground_state is not None:
            source = ground_states(source, energy=list(targets).index(self.recipe.ground_state))
        logger.info("%s: %d crystals to train on; %s", self.recipe.name, len(source.ids), source.rows)
        return source

    def train(
        self,
        name: str,
        training: Training,
        source: SourceData,
        targets: Sequence[SourceTarget],
        *,
        inputs: SourceInputs,
        build: Callable[[Tensor, Tensor], Module],
        start: str | None = None,
    ) -> tuple[Module, Experts | None]:
        """Train, score, and give what the export needs; None in secondary processes.

        Args:
            name: Of the run.
            training: How to train.
            source: The crystals.
            targets: What the columns of their values are.
            inputs: What the module reads of the crystals.
            build: Makes the module from the training rows and their transformed targets.
            start: Digest of what the module starts from or stands on.
        """
        columns = [target.apply_transform(source.values[:, i]) for i, target in enumerate(targets)]
        transformed = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
        rows = {part: torch.from_numpy(source.rows_of(part)) for part in ("train", "val", "test")}
        seed = self.recipe.seed
        batches = SourceBatches(
            inputs.take,
            transformed,
            rows,
            sizes=inputs.sizes,
            batch_size=training.batch_size,
            seed=seed,
            workers=self.workers,
        )
        folder = self.runs / f"{name}-{self._digest(training, source, targets, start)[:12]}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build(rows["train"], transformed[rows["train"]])
            # Another training there would put its best epoch in the place of ours; our own processes may be several.
            alone = only_writer(folder) if self.processes.is_main else nullcontext()
            with alone:
                run = fit_source_module(module, batches, folder=folder, name=name, options=self.trainer)
        if not run.is_main:
            return module, None
        metrics = score(module, batches, source.values, targets)
        return module, Experts(self.recipe, training, source, targets, metrics, run, self.output)

    def _digest(
        self, training: Training, source: SourceData, targets: Sequence[SourceTarget], start: str | None
    ) -> str:
        """What a run depends on: an interrupted one is only continued where nothing of it has changed."""
        content = [
            asdict(training),
            [asdict(target) for target in targets],
            [self.recipe.fractions, self.recipe.seed, start],
        ]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        digest.update("\n".join(source.ids).encode())
        digest.update(source.values.tobytes())
        return digest.hexdigest()
