"""Several gates and heads as one model: each is trained on another part of the same data, and they are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from moe_mat.encoders import Device, choose_device
from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.class_probabilities import ClassProbabilities
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.intervals import Intervals
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.mixture.predicted import HeldOut, Said
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.mixture.training import new_model, train_in_memory


class Members(nn.Module):
    """Trained members, and the intervals of their mean.

    Args:
        models: Trained.
        validation_error: Mean of theirs, see `moe_mat.mixture.training.train_in_memory`.
    """

    def __init__(self, models: Sequence[MixtureOfExperts], *, validation_error: float) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.validation_error = validation_error
        held_out = HeldOut.mean([cast(HeldOut, model.held_out) for model in models])
        self.intervals = Intervals(held_out.targets.shape[1])
        self.intervals.fit(held_out)
        self.probabilities = ClassProbabilities(len(self.classes)) if self.classes else None
        if self.probabilities is not None:
            self.probabilities.fit(held_out)
        for model in models:
            model.held_out = None  # what was learned from it is all that remains

    @classmethod
    def trained(
        cls,
        settings: MixtureSettings,
        training: TrainingSettings,
        seeds: Sequence[int],
        data_of: Callable[[int], EmbeddingDataModule],
    ) -> Members:
        """Train a member for each seed.

        Args:
            settings: Of the mixtures.
            training: How long, and on what.
            seeds: Of the members.
            data_of: Seed to the data of its member.
        """
        models, scores = [], []
        for seed in seeds:
            model = new_model(settings, seed=seed)
            scores.append(train_in_memory(model, data_of(seed), training, seed=seed))
            models.append(model)
        return cls(models, validation_error=float(np.mean(scores)))

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, in order; ``None`` where targets are numbers."""
        return self[0].classes

    def __iter__(self) -> Iterator[MixtureOfExperts]:
        return (cast(MixtureOfExperts, model) for model in self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, number: int) -> MixtureOfExperts:
        return cast(MixtureOfExperts, self.models[number])

    @torch.inference_mode()
    def say(self, batch: Batch, device: Device) -> Said:
        """What they say of crystals in the mean; what is trained of the experts computes on a device."""
        parts = batch.parts(AT_ONCE)
        return Said.joined([Said.mean([model.say(part) for model in self._on(device)]) for part in parts])

    @torch.inference_mode()
    def embed(self, batch: Batch, device: Device) -> Tensor:
        """Mixed embeddings of members and gates side by side ``[n, width]``; see `say`."""
        parts = batch.parts(AT_ONCE)
        return torch.cat(
            [torch.cat([model.head.embed(part)[0] for model in self._on(device)], dim=1) for part in parts]
        )

    def _on(self, device: Device) -> Iterator[MixtureOfExperts]:
        for model in self:
            with model.head.tuned_on(choose_device(device)):
                yield model

    def gate_weights(self, embeddings: Tensor) -> pd.Series:
        """Weight of each expert, the mean over members; sums to 1. See `moe_mat.mixture.gate_weights`."""
        return pd.DataFrame([gate_weights(model, embeddings) for model in self]).mean().rename("gate weight")
