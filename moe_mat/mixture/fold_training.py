"""The training of one fold: as that of any run, on its training rows, and scored on its test rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from moe_mat.crystals.folds import Fold
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.report import RunReport, evaluate
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.mixture.training import new_model, train_in_memory


@dataclass(frozen=True)
class FoldTraining:
    """What all folds have in common; it can be pickled.

    Attributes:
        data: Embedded crystals and their targets; its own split is not used.
        settings: Of the model.
        training: How long is trained.
        seed: Of weights, batches and dropout, the same in all folds.
        level: Of the intervals.
    """

    data: EmbeddingDataModule
    settings: MixtureSettings
    training: TrainingSettings
    seed: int
    level: float

    def __call__(self, fold: Fold) -> RunReport:
        """Train on a fold, and report on its test rows.

        One thread computes it, so that the order of sums, and with it the last digits, do not depend on how many folds
        are trained at a time.

        Raises:
            ValueError: When it cannot be trained; names the fold.
        """
        model = self.new_model()
        data = EmbeddingDataModule(
            self.data.embeddings,
            self.data.targets,
            {part: torch.as_tensor(rows) for part, rows in fold.split._asdict().items()},
            ids=self.data.ids,
            partial=self.data.partial,
            collate=self.data.collate,
            batch_size=self.data.batch_size,
            device=self.data.device,
            weights=self.data.given_weights,
        )
        with _one_thread():
            try:
                train_in_memory(model, data, self.training, seed=self.seed)
            except ValueError as error:
                raise ValueError(f"{fold.name}: {error}") from error
            return evaluate(model, data, self.settings.targets, parts=("test",), level=self.level)

    def new_model(self) -> MixtureOfExperts:
        """The mixture that each fold begins with."""
        return new_model(self.settings, seed=self.seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
