"""One training on source data: it goes on where an interrupted one ended, and is scored as it is stored."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_mat.pretrain.batches import SourceBatches
from moe_mat.pretrain.export import Experts, score
from moe_mat.pretrain.recipes import SourceRecipe, SourceTarget, Training
from moe_mat.pretrain.sources import SourceData, read_source
from moe_mat.pretrain.training import SourceModule, fit_source_module

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceJob:
    """What all trainings of one recipe share.

    Attributes:
        recipe: What is trained on.
        data: Folder of the source's file.
        output: Folder of the experts.
        runs: Folder of checkpoints and logs.
        trainer: Arguments of Lightning's Trainer.
    """

    recipe: SourceRecipe
    data: Path
    output: Path
    runs: Path
    trainer: dict[str, Any]

    def read(self, training: Training, targets: Sequence[str], prepare: Callable[[Any], Any]) -> SourceData:
        """The crystals that a training may see."""
        source = read_source(self.recipe, self.data, targets=targets, max_atoms=training.max_atoms, prepare=prepare)
        logger.info("%s: %d crystals to train on; %s", self.recipe.name, len(source.ids), source.rows)
        return source

    def train(
        self,
        name: str,
        training: Training,
        source: SourceData,
        targets: Sequence[SourceTarget],
        *,
        build: Callable[[Tensor, Tensor], SourceModule],
        take: Callable[[Tensor], Any],
        sizes: Tensor,
        start: str | None = None,
    ) -> tuple[SourceModule, Experts | None]:
        """Train, score, and give what the export needs; None in secondary processes.

        Args:
            name: Of the run.
            training: How to train.
            source: The crystals.
            targets: What the columns of their values are.
            build: Makes the module from the training rows and their transformed targets.
            take: From row numbers to the module's inputs.
            sizes: Of each crystal, such as its number of atoms.
            start: Digest of what the module starts from or stands on.
        """
        bent = np.stack([t.bend(source.values[:, i]) for i, t in enumerate(targets)], axis=1)
        transformed = torch.from_numpy(bent.astype(np.float32))
        rows = {part: torch.from_numpy(source.rows_of(part)) for part in ("train", "val", "test")}
        seed = self.recipe.seed
        batches = SourceBatches(take, transformed, rows, sizes=sizes, batch_size=training.batch_size, seed=seed)
        folder = self.runs / f"{name}-{self._digest(training, source, targets, start)[:12]}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build(rows["train"], transformed[rows["train"]])
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
