"""Modular learning (MoMa, arXiv 2502.15483): modules are weighed on the task, then merged and fine-tuned, or mixed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import softmax

from benchmarks.methods.mixtures import mixture
from benchmarks.methods.problem import Outcome, Problem
from moe_mat.moma import Composition, CompositionSettings, compose, write_merged
from moe_mat.zoo import find_cards

Weights = dict[str, float]
# Of the softmax of proxy errors, which are in units of the variance of the target.
SOFTMAX_TEMPERATURE = 0.1


def _equal(tags: Sequence[str]) -> Weights:
    return dict.fromkeys(tags, 1 / len(tags))


def _random(composition: Composition, seed: int) -> Weights:
    """As many modules as were selected, any of them."""
    tags, n = list(composition.weights), len(composition.selected)
    return _equal(np.random.default_rng(seed).choice(tags, size=n, replace=False).tolist())


def _softmax(composition: Composition, seed: int) -> Weights:
    shares = softmax(-np.array(list(composition.proxy_errors.values())) / SOFTMAX_TEMPERATURE)
    return dict(zip(composition.proxy_errors, shares.tolist(), strict=True))


# From what the modules are and can do by themselves to weights; the first is the method, the others are its ablations.
WEIGHTS: dict[str, Callable[[Composition, int], Weights]] = {
    "amc": lambda composition, seed: composition.weights,
    "uniform_selected": lambda composition, seed: _equal(composition.selected),
    "uniform_all": lambda composition, seed: _equal(list(composition.weights)),
    "random": _random,
    "softmax": _softmax,
}


def merged(
    problem: Problem,
    experts: Sequence[str],
    settings: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Merge modules of one backbone and fine-tune the merged encoder with a fresh head.

    Args:
        problem: crystals and numbers.
        experts: the modules.
        settings: of `moe_mat.MoERegressor`; ``weights``, a name in `WEIGHTS`; and ``compose``, those of
            `moe_mat.moma.CompositionSettings`.
        candidates: as in `benchmarks.methods.mixtures.mixture`.
    """
    options = dict(settings)
    rule = WEIGHTS[options.pop("weights", "amc")]
    composition = compose(experts, *problem.train, settings=CompositionSettings(**options.pop("compose", {})))
    weights = rule(composition, problem.seed)
    with tempfile.TemporaryDirectory() as folder:
        card = write_merged(find_cards(list(experts)), weights, folder=folder, tag="merged")
        outcome = mixture(problem, [str(card.path)], options, candidates)
    return _with(outcome, composition, weights)


def gated(
    problem: Problem,
    experts: Sequence[str],
    settings: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Mix the modules' cached embeddings by a gate that starts at their weights, or keeps them.

    Args:
        problem: crystals and numbers.
        experts: the modules.
        settings: as for `merged`; ``frozen_gate`` says whether the gate keeps the weights.
        candidates: as in `benchmarks.methods.mixtures.mixture`.
    """
    options = dict(settings)
    rule = WEIGHTS[options.pop("weights", "amc")]
    composition = compose(experts, *problem.train, settings=CompositionSettings(**options.pop("compose", {})))
    outcome = mixture(problem, experts, {**options, "initial_gate": rule(composition, problem.seed)}, candidates)
    return _with(outcome, composition, dict(outcome.gate_weights or {}))


def _with(outcome: Outcome, composition: Composition, weights: Weights) -> Outcome:
    """An outcome that notes what the composition found."""
    found = {"modules": len(composition.selected), "proxy_error": composition.error, "seconds": composition.seconds}
    return replace(outcome, gate_weights=weights, chosen={"composition": found, **outcome.chosen})
