"""Methods of classification: the mixture, and what a user would try who knows matminer and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss

from benchmarks.methods.mixtures import embedded
from moe_mat import MoEClassifier

Labelled = tuple[Sequence[Structure], NDArray[np.integer]]

# Validation rows choose among these, by log loss.
FORESTS = [{"min_samples_leaf": leaf} for leaf in (1, 3)]
FOREST = {"n_estimators": 500, "n_jobs": 1}
TREES = [{"num_leaves": 7, "min_child_samples": 5}, {"num_leaves": 31, "min_child_samples": 20}]
BOOSTED = {
    "learning_rate": 0.05,
    "n_estimators": 2000,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "n_jobs": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
STOPPING_ROUNDS = 100


@dataclass(frozen=True)
class ClassProblem:
    """What a method gets.

    Attributes:
        train: Crystals and the numbers of their classes.
        val: Those to choose by; all methods are fitted on both in the end.
        test: Crystals to predict.
        n_classes: Of which each is in the training rows.
        experts: Of the mixture.
        seed: Of everything random.
    """

    train: Labelled
    val: Labelled
    test: Sequence[Structure]
    n_classes: int
    experts: Sequence[str]
    seed: int


class Classified(NamedTuple):
    """What a method gives back: probabilities of the test crystals ``[n, n_classes]``, and what was chosen."""

    probabilities: NDArray[np.floating]
    chosen: Mapping[str, Any]


def mixture(problem: ClassProblem) -> Classified:
    """Our classifier with its defaults, and one member."""
    model = MoEClassifier(list(problem.experts), n_members=1, random_state=problem.seed)
    model.fit(*problem.train, validation=problem.val)
    weights = {str(tag): round(float(weight), 4) for tag, weight in model.gate_weights_.items()}
    return Classified(model.predict_proba(problem.test), {"gate_weights": weights})


def forest(problem: ClassProblem) -> Classified:
    """Random forest on Magpie features."""
    of = _Tables.of(problem, ["magpie"])
    tried = []
    for candidate in FORESTS:
        model = RandomForestClassifier(**FOREST, **candidate, random_state=problem.seed).fit(*of.train)
        tried.append((_loss(model, of.val, problem), candidate))
    chosen = min(tried, key=lambda one: one[0])[1]
    model = RandomForestClassifier(**FOREST, **chosen, random_state=problem.seed).fit(*of.both)
    return Classified(model.predict_proba(of.test), {"chosen": chosen})


def boosted_trees(problem: ClassProblem) -> Classified:
    """LightGBM on Magpie and structure features; as many trees as have the lowest validation log loss.

    Raises:
        ImportError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise ImportError("this method needs LightGBM: pip install moe_mat[peers]") from error
    of = _Tables.of(problem, ["magpie", "structure_features"])
    stop, tried = lightgbm.early_stopping(STOPPING_ROUNDS, verbose=False), []
    for candidate in TREES:
        settings: dict[str, Any] = {**BOOSTED, **candidate, "random_state": problem.seed}
        model = lightgbm.LGBMClassifier(**settings)
        model.fit(*of.train, eval_set=[of.val], callbacks=[stop])
        tried.append((_loss(model, of.val, problem), {**candidate, "n_estimators": max(1, model.best_iteration_)}))
    chosen = min(tried, key=lambda one: one[0])[1]
    settings = {**BOOSTED, **chosen, "random_state": problem.seed}
    model = lightgbm.LGBMClassifier(**settings).fit(*of.both)
    return Classified(np.asarray(model.predict_proba(of.test)), {"chosen": chosen})


METHODS: dict[str, Callable[[ClassProblem], Classified]] = {
    "moe": mixture,
    "rf-magpie": forest,
    "lightgbm": boosted_trees,
}


class _Tables(NamedTuple):
    """A problem as tables of features."""

    train: tuple[NDArray[np.floating], NDArray[np.integer]]
    val: tuple[NDArray[np.floating], NDArray[np.integer]]
    test: NDArray[np.floating]

    @classmethod
    def of(cls, problem: ClassProblem, experts: Sequence[str]) -> _Tables:
        def features(structures: Sequence[Structure]) -> NDArray[np.floating]:
            return np.concatenate(embedded(experts, structures), axis=1)

        (x, y), (x_val, y_val) = problem.train, problem.val
        return cls((features(x), y), (features(x_val), y_val), features(problem.test))

    @property
    def both(self) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
        (x, y), (x_val, y_val) = self.train, self.val
        return np.concatenate([x, x_val]), np.concatenate([y, y_val])


def _loss(model: Any, val: tuple[NDArray[np.floating], NDArray[np.integer]], problem: ClassProblem) -> float:
    return float(log_loss(val[1], model.predict_proba(val[0]), labels=range(problem.n_classes)))
