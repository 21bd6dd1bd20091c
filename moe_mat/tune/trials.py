"""The trials of a search, kept by Optuna in a file: which configuration is next, and what each has scored so far."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from moe_mat.tune.space import Labels, SearchSpace

STORAGE = "study.journal"
SECONDS = "seconds"
REASON = "reason"
REPEATED = "repeated"
# A trial is stopped when a signed-rank test gives being no worse than the best so far less than this: three of three.
STOPPED_AT = 0.15


@dataclass(frozen=True)
class Trial:
    """One configuration.

    Attributes:
        number: From 0, which is the given one.
        labels: Its values.
        scores: Fold to error.
        seconds: That training has taken.
        state: ``complete``, ``stopped`` (worse than the best), ``failed`` or ``running``.
        reason: Why it failed.
    """

    number: int
    labels: Labels
    scores: Mapping[int, float]
    seconds: float
    state: str
    reason: str = ""


_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}


class _NoLock(JournalFileSymlinkLock):
    """The folder of a search has one writer already, and a lock that a killed process has left would be in its way."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Trials:
    """The trials of one search; those of a process that was ended go on where it was.

    First come the given configuration and what differs from it in one setting, then what a tree of Parzen estimators
    proposes (Bergstra et al., NIPS 2011).

    Args:
        folder: That no other process writes to.
        space: What is compared.
        seed: Of the proposals.
    """

    def __init__(self, folder: Path, space: SearchSpace, *, seed: int) -> None:
        self.space, self.seed = space, seed
        path = folder / STORAGE
        _drop_half_a_line(path)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _quiet():
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock(str(path))))
            self.study = optuna.create_study(
                storage=storage,
                study_name="tune",
                load_if_exists=True,
                pruner=optuna.pruners.WilcoxonPruner(p_threshold=STOPPED_AT),
            )
        for labels in (space.default, *space.neighbours()):
            self.study.enqueue_trial(labels, skip_if_exists=True)

    @property
    def seconds(self) -> float:
        """That the search has taken, all processes together."""
        return float(self.study.user_attrs.get(SECONDS, 0.0))

    def note_seconds(self, seconds: float) -> None:
        """Note how long the search has taken."""
        self.study.set_user_attr(SECONDS, seconds)

    def all(self) -> list[Trial]:
        """Those that have begun, in their order."""
        found = [one for one in self.study.get_trials(deepcopy=False) if one.state != TrialState.WAITING]
        return [_as_trial(one) for one in found if REPEATED not in one.user_attrs]

    def next(self) -> optuna.Trial | None:
        """The trial that goes on, or a new one; ``None`` where there is nothing left to compare."""
        for one in self.study.get_trials(deepcopy=False):
            if one.state == TrialState.RUNNING:
                return optuna.Trial(self.study, one._trial_id)
        known = {_key(one.labels) for one in self.all()}
        while True:
            number = len(self.study.trials)
            with _quiet():
                # A sampler of its own for each trial: the search goes on as if it had not been ended.
                self.study.sampler = optuna.samplers.TPESampler(seed=self.seed + number, multivariate=True, group=True)
                trial = self.study.ask()
                labels = self.labels(trial)
            if _key(labels) not in known:
                return trial
            trial.set_user_attr(REPEATED, True)
            self.study.tell(trial, state=TrialState.FAIL)
            left = [one for one in self.space.all() if _key(one) not in known]
            if not left:
                return None
            self.study.enqueue_trial(random.Random(self.seed + number).choice(left))

    def labels(self, trial: optuna.Trial) -> Labels:
        """The configuration of a trial."""
        labels: Labels = {}
        for name, values in self.space.values.items():  # the head is the first
            if not labels or name in self.space.names(labels):
                labels[name] = trial.suggest_categorical(name, list(values))
        return labels

    def stops(self, trial: optuna.Trial) -> bool:
        """Whether a trial is clearly worse than the best so far."""
        with _quiet():
            return trial.number > 0 and trial.should_prune()

    def end(self, trial: optuna.Trial, *, score: float | None = None, reason: str = "") -> None:
        """End a trial, by the mean over all folds, as stopped, or as one that cannot be trained for a reason."""
        if reason:
            trial.set_user_attr(REASON, reason)
        state = TrialState.FAIL if reason else TrialState.PRUNED if score is None else None
        with _quiet():
            self.study.tell(trial, score, state=state)


def _as_trial(one: FrozenTrial) -> Trial:
    return Trial(
        number=one.number,
        labels=dict(one.params),
        scores=dict(one.intermediate_values),
        seconds=float(one.user_attrs.get(SECONDS, 0.0)),
        state=_STATES.get(one.state, "running"),
        reason=str(one.user_attrs.get(REASON, "")),
    )


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _drop_half_a_line(path: Path) -> None:
    """Where a process was ended in the middle of a line, Optuna would read no further."""
    if not path.is_file():
        return
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _quiet() -> warnings.catch_warnings:
    """Without Optuna's notes on what it calls experimental."""
    return warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning)
