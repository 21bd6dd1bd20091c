"""The search itself: configurations are trained on the same folds, one after the other, until time is up."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import optuna

from moe_mat.crystals.folds import Fold
from moe_mat.files.progress import Progress
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.fold_training import FoldTraining
from moe_mat.mixture.fold_workers import train_folds
from moe_mat.mixture.heads.choice import settled
from moe_mat.mixture.memory import affordable
from moe_mat.mixture.report import RunReport
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.tune.columns import Columns
from moe_mat.tune.trials import SECONDS, Trials

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What all trials have in common.

    Attributes:
        data: The crystals that may be learned from, as the given configuration sees them; no test rows are among them.
        columns: Their embeddings by other experts.
        folds: The same for every trial.
        training: How long is trained.
        seed: Of weights, batches and dropout.
        level: Of the intervals.
        minutes: After which no further fold is begun, those of earlier processes counted; the given configuration is
            trained in any case.
        n_trials: Configurations that are tried at most; ``None`` for no bound.
        workers: Folds at a time.
    """

    data: EmbeddingDataModule
    columns: Columns
    folds: Sequence[Fold]
    training: TrainingSettings
    seed: int
    level: float
    minutes: float
    n_trials: int | None = None
    workers: int = 1

    def __call__(self, trials: Trials, *, spent: float = 0.0) -> None:
        """Go on with a search until time is up, or nothing is left to compare.

        Args:
            trials: Of the search.
            spent: Seconds that this process has already taken for it.

        Raises:
            ValueError: When the given configuration cannot be trained; names the fold.
        """
        clock = _Clock(trials, spent)
        with Progress("tuning, in folds") as progress:
            while self._goes_on(trials, clock):
                trial = trials.next()
                if trial is None:
                    return
                try:
                    self._run(trial, trials, clock, progress)
                except ValueError as error:
                    if trial.number == 0:
                        raise
                    logger.warning("trial %d is left out: %s", trial.number, error)
                    trials.end(trial, reason=" ".join(str(error).split()))

    def _goes_on(self, trials: Trials, clock: _Clock) -> bool:
        begun = trials.all()
        if not begun or begun[0].state == "running":
            return True
        ended = sum(one.state != "running" for one in begun)
        return clock() < 60 * self.minutes and (self.n_trials is None or ended < self.n_trials)

    def _run(self, trial: optuna.Trial, trials: Trials, clock: _Clock, progress: Progress) -> None:
        """Train a trial on the folds that it lacks; it stays as it is where time is up."""
        frozen = trials.study.trials[trial.number]
        scores = dict(frozen.intermediate_values)
        to_do = [(number, fold) for number, fold in enumerate(self.folds) if number not in scores]
        numbers = {fold.name: number for number, fold in to_do}
        seconds, start = float(frozen.user_attrs.get(SECONDS, 0.0)), time.monotonic()
        training = self._training(trials.space.settings(trials.labels(trial)))
        with closing(train_folds(training, [fold for _, fold in to_do], workers=self.workers)) as finished:
            for fold, report in finished:
                scores[numbers[fold.name]] = self._score(report)
                trial.report(scores[numbers[fold.name]], numbers[fold.name])
                trial.set_user_attr(SECONDS, seconds + time.monotonic() - start)
                clock.note()
                progress.advance()
                if len(scores) < len(self.folds):
                    if trials.stops(trial):
                        trials.end(trial)
                        return
                    if trial.number > 0 and clock() >= 60 * self.minutes:
                        return
        trials.end(trial, score=float(np.mean(list(scores.values()))))

    def _training(self, settings: MixtureSettings) -> FoldTraining:
        """Raises `ValueError` when it cannot be trained on these crystals, or in this memory."""
        cards, n_rows = self.columns.cards(settings.experts), len(self.data.ids)
        settings = affordable(settled(settings, n_rows=n_rows), cards, n_rows=n_rows, n_processes=self.workers)
        data = EmbeddingDataModule(
            self.columns.of(cards),
            self.data.targets,
            {},
            ids=self.data.ids,
            batch_size=self.data.batch_size,
            device=self.data.device,
        )
        of_cards = MixtureSettings(**{**vars(settings), "experts": [card.reference for card in cards]})
        return FoldTraining(data, of_cards, self.training, self.seed, self.level)

    def _score(self, report: RunReport) -> float:
        """MAE in the target's unit; of several targets the mean, in units of their spread."""
        maes = report.metrics["mae"].to_numpy()
        return float(maes[0] if len(maes) == 1 else np.nanmean(maes / self.spreads))

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of each target ``[n_targets]``, the same for all trials and folds."""
        columns = self.data.targets.double().unbind(1)
        return np.array([float(one[one.isfinite()].std(correction=0).clamp_min(1e-12)) for one in columns])


class _Clock:
    """Seconds that a search has taken, those of processes that have ended before counted."""

    def __init__(self, trials: Trials, spent: float) -> None:
        self.trials, self.before, self.start = trials, trials.seconds, time.monotonic() - spent

    def __call__(self) -> float:
        return self.before + time.monotonic() - self.start

    def note(self) -> None:
        self.trials.note_seconds(self())
