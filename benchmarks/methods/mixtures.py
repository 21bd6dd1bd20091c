"""The methods that are a `moe_mat.MoERegressor`: ours, the published one, and transfer from one expert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.methods.problem import Outcome, Problem
from moe_mat import MoERegressor
from moe_mat.crystals import as_formula
from moe_mat.mixture import ALL_LEVELS
from moe_mat.zoo import EmbeddingCache, EncoderCard, embed, find_cards

# Settings that say what is trained of an expert, and how.
OF_TUNING = ("trainable", "tuning_rate", "tune_from_epoch")


def mixture(
    problem: Problem,
    experts: Sequence[str],
    settings: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Fit a `moe_mat.MoERegressor` for each candidate and predict with the best one on the validation rows.

    Args:
        problem: crystals and numbers.
        experts: tags or card files.
        settings: arguments of the estimator; and ``validation``: ``given``, or ``own`` for an estimator that gets
            training and validation rows together and sets random parts of them aside itself.
        candidates: arguments that replace those of ``settings``.
    """
    options = dict(settings)
    own_validation = options.pop("validation", "given") == "own"
    tried: list[dict[str, Any]] = []
    best: MoERegressor | None = None
    for candidate in candidates or [{}]:
        model = MoERegressor(list(experts), random_state=problem.seed, **{**options, **candidate})
        if own_validation:
            crystals, values = [*problem.train[0], *problem.val[0]], np.concatenate([problem.train[1], problem.val[1]])
            model.fit(crystals, values)
        else:
            model.fit(*problem.train, validation=problem.val)
        if best is None or model.validation_mae_ < best.validation_mae_:
            best = model
        tried.append({**candidate, "val_mae": model.validation_mae_})
    assert best is not None
    mean, std = best.predict(problem.test, return_std=True)
    _, lower, upper = best.predict(problem.test, interval=ALL_LEVELS)
    known = bool(np.isfinite(std).all())
    choice = min(tried, key=lambda one: one["val_mae"])
    chosen = {key: value for key, value in choice.items() if key != "val_mae"}
    for number, of_member in enumerate(best.tried_):
        if of_member:
            name = "kernel_head" if len(best.tried_) == 1 else f"kernel_head_{number}"
            chosen[name] = [one for one in of_member if one["share"]]
    return Outcome(
        val_mae=best.validation_mae_,
        predictions=mean,
        std=std if known else None,
        bounds=(lower, upper) if known else None,
        gate_weights={str(tag): float(weight) for tag, weight in best.gate_weights_.items()},
        chosen=chosen,
        tried=[*(tried if len(tried) > 1 else ()), *(one for of_member in best.tried_ for one in of_member)],
    )


def formulas(
    problem: Problem,
    experts: Sequence[str],
    settings: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """`mixture` with the structures taken away: the estimator sees formulas alone."""
    (x, y), (x_val, y_val) = problem.train, problem.val
    train, val, test = ([as_formula(one.composition) for one in part] for part in (x, x_val, problem.test))
    return mixture(Problem((train, y), (val, y_val), test, problem.seed), experts, settings, candidates)


def transfer(
    problem: Problem,
    experts: Sequence[str],
    settings: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Pairwise transfer: `mixture` of one expert.

    Of several experts, it is the one on whose frozen embedding a ridge regression has the lowest validation MAE. The
    last convolution is trained where there is one.
    """
    (x, y), (x_val, y_val) = problem.train, problem.val
    scores: dict[str, float] = {}
    if len(experts) > 1:
        parts = zip(embedded(experts, x), embedded(experts, x_val), strict=True)
        for expert, (of_train, of_val) in zip(experts, parts, strict=True):
            ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))).fit(of_train, y)
            scores[expert] = float(np.abs(ridge.predict(of_val) - y_val).mean())
    expert = min(scores, key=scores.__getitem__) if scores else experts[0]
    (card,) = find_cards(expert)
    tunable = isinstance(card, EncoderCard) and card.encoder == "cgcnn"
    options = {name: value for name, value in settings.items() if tunable or name not in OF_TUNING}
    outcome = mixture(problem, [expert], options, candidates)
    tags = {name: find_cards(name)[0].tag for name in scores}
    tried = [{"expert": tags[name], "val_mae": score, "by": "ridge"} for name, score in scores.items()]
    return Outcome(
        outcome.val_mae,
        outcome.predictions,
        outcome.std,
        outcome.bounds,
        chosen={"expert": card.tag, **outcome.chosen},
        tried=[*tried, *outcome.tried],
    )


def embedded(experts: Sequence[str], structures: Sequence[Any]) -> list[np.ndarray]:
    """Frozen embeddings of crystals by each expert, from the cache where they are there: ``[n, dim]`` each.

    Raises:
        CrystalError: an expert cannot represent a crystal.
    """
    with EmbeddingCache() as cache:
        found = embed(find_cards(list(experts)), structures, cache=cache)
    found.require_all(structures)
    return list(found.values.values())
