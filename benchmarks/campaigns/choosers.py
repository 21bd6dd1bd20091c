"""Who chooses the next batch: our mixture, or a random forest."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from benchmarks.campaigns.problems import BATCH, Problem
from moe_mat.crystals import random_split
from moe_mat.mixture import (
    Batch,
    EmbeddingDataModule,
    MixtureOfExperts,
    MixtureSettings,
    TrainingSettings,
    train_in_memory,
)
from moe_mat.suggest import ChoiceSettings, Wanted, choose

Rows = NDArray[np.int64]
VALIDATION = 0.15  # as `moe_mat.MoERegressor`
TREES = 200


class Chooser(ABC):
    """Chooses crystals of a pool.

    Args:
        embeddings: Of the pool ``[n, width]``.
    """

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self.embeddings = embeddings

    @abstractmethod
    def next_batch(self, problem: Problem, known: Rows, rest: Rows) -> Rows:
        """Which of the rest to measure, by the values of those that are known."""


class Mixture(Chooser):
    """What ``MoERegressor(experts, n_members=1).fit(...).suggest(...)`` does; embeddings are kept in memory.

    Args:
        embeddings: Of the pool ``[n, width]``.
        experts: That made them.
    """

    def __init__(self, embeddings: NDArray[np.float32], experts: list[str]) -> None:
        super().__init__(embeddings)
        self.experts = experts

    def next_batch(self, problem: Problem, known: Rows, rest: Rows) -> Rows:  # noqa: D102
        seed = 1000 * problem.seed + len(known)
        model = self._fitted(known, problem.targets[known], seed)
        with torch.inference_mode():
            batch = Batch(torch.from_numpy(self.embeddings[rest]), None, [""] * len(rest))
            said, mixed = model.say(batch), model.head.embed(batch)[0]
        mean, std = (one[:, 0].double().numpy() for one in (said.predicted.values, model.intervals.std(said)))
        settings = ChoiceSettings(n=BATCH)
        wanted = Wanted(problem.goal, settings.n, settings.acquisition, settings.batch)
        random = np.random.default_rng(seed)
        return rest[choose(wanted, mean, std, mixed, bar=wanted.bar(problem.targets[known]), random=random)[0]]

    def _fitted(self, known: Rows, targets: NDArray[np.float64], seed: int) -> MixtureOfExperts:
        torch.manual_seed(seed)
        model = MixtureOfExperts(**vars(MixtureSettings(experts=self.experts, head="kernel")))
        split = random_split(len(known), fractions=(1 - VALIDATION, VALIDATION, 0.0), seed=seed)
        data = EmbeddingDataModule(
            torch.from_numpy(self.embeddings[known]),
            torch.as_tensor(targets, dtype=torch.float32)[:, None],
            {part: torch.as_tensor(rows) for part, rows in split._asdict().items()},
            ids=[str(row) for row in range(len(known))],
        )
        train_in_memory(model, data, TrainingSettings(device="cpu"), seed=seed)
        return model.eval()


class Forest(Chooser):
    """A random forest: the expected improvement by mean and standard deviation of its trees."""

    def next_batch(self, problem: Problem, known: Rows, rest: Rows) -> Rows:  # noqa: D102
        forest = RandomForestRegressor(TREES, max_features=0.33, random_state=problem.seed)
        forest.fit(self.embeddings[known], problem.targets[known])
        of_trees = np.stack([tree.predict(self.embeddings[rest]) for tree in forest.estimators_])
        mean, std = of_trees.mean(0), of_trees.std(0)
        bar = problem.goal.bar(problem.targets[known], 1)
        return rest[np.argsort(-problem.goal.improvement(mean, std, bar), kind="stable")[:BATCH]]
