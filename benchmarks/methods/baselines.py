"""The methods that others are measured by. Each is a function of problem, experts, settings and candidates."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestRegressor

from benchmarks.methods.frozen_heads import HeadSettings, train_heads
from benchmarks.methods.mixtures import embedded
from benchmarks.methods.problem import Outcome, Problem
from moe_mat.graphs import batch_graphs
from moe_mat.pretrain import CGCNNProperty, CGCNNTraining, SourceBatches, fit_source_module
from moe_mat.zoo import find_cards

Candidates = Sequence[Mapping[str, Any]]


def median(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Candidates = ()
) -> Outcome:
    """Predict the median of the training targets: the constant with the lowest MAE."""
    constant = float(np.median(problem.train[1]))
    return Outcome(float(np.abs(problem.val[1] - constant).mean()), np.full(len(problem.test), constant))


def forest(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Candidates = ()
) -> Outcome:
    """Random forest on the experts' embeddings side by side.

    Settings are scikit-learn's; and ``refit``: whether the forest that predicts is grown anew on training and
    validation rows together. The validation MAE is that of the forest of the training rows alone.
    """
    options = dict(settings)
    refit = options.pop("refit", False)
    (x, y), (x_val, y_val) = problem.train, problem.val
    of_train, of_val, of_test = (np.concatenate(embedded(experts, s), axis=1) for s in (x, x_val, problem.test))
    model = RandomForestRegressor(random_state=problem.seed, **options).fit(of_train, y)
    val_mae = float(np.abs(model.predict(of_val) - y_val).mean())
    if refit:
        model.fit(np.concatenate([of_train, of_val]), np.concatenate([y, y_val]))
    return Outcome(val_mae, model.predict(of_test))


def scratch(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Candidates = ()
) -> Outcome:
    """Single-task learning: a CGCNN and its head, trained end to end on the task alone.

    Args:
        problem: crystals and numbers.
        experts: none.
        settings: of `moe_mat.pretrain.CGCNNTraining`.
        candidates: none.
    """
    training = CGCNNTraining(**settings)
    (x, y), (x_val, y_val) = problem.train, problem.val
    targets = torch.tensor(np.concatenate([y, y_val]), dtype=torch.float32)[:, None]
    train, val = torch.arange(len(y)), torch.arange(len(y), len(targets))
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(problem.seed)
        module = CGCNNProperty(targets[train], training=training, seed=problem.seed)
        graphs = [module.encoder.prepare(structure) for structure in [*x, *x_val, *problem.test]]
        batches = SourceBatches(
            lambda rows: batch_graphs([graphs[row] for row in rows.tolist()]),
            targets,
            {"train": train, "val": val},
            sizes=torch.tensor([graph.n_atoms for graph in graphs[: len(targets)]]),
            batch_size=training.batch_size,
            seed=problem.seed,
        )
        fit_source_module(module, batches, folder=Path(folder), name="stl")

    def predict(first: int, end: int) -> np.ndarray:
        size = training.batch_size
        with torch.inference_mode():
            parts = [
                module.predict_transformed(batch_graphs(graphs[start : min(start + size, end)]))
                for start in range(first, end, size)
            ]
        return torch.cat(parts)[:, 0].double().numpy()

    val_mae = np.abs(predict(len(y), len(targets)) - y_val).mean()
    return Outcome(float(val_mae), predict(len(targets), len(graphs)))


def concatenation(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Candidates = ()
) -> Outcome:
    """One head on all embeddings side by side (Chang et al. 2022). Settings are those of `HeadSettings`."""
    (x, y), (x_val, y_val) = problem.train, problem.val
    joined = [[np.concatenate(embedded(experts, s), axis=1)] for s in (x, x_val, problem.test)]
    maes, _, predictions = train_heads(*joined, y=y, y_val=y_val, seed=problem.seed, settings=HeadSettings(**settings))
    return Outcome(float(maes[0]), predictions[0])


def ensemble(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Candidates = ()
) -> Outcome:
    """One head on each embedding; their predictions are averaged (Chang et al. 2022).

    Settings are those of `HeadSettings`; and ``weights``: ``equal``, or ``validation`` for weights of one over the
    squared validation MAE.
    """
    options = dict(settings)
    weighted = options.pop("weights", "equal") == "validation"
    (x, y), (x_val, y_val) = problem.train, problem.val
    parts = [embedded(experts, s) for s in (x, x_val, problem.test)]
    maes, of_val, predictions = train_heads(
        *parts, y=y, y_val=y_val, seed=problem.seed, settings=HeadSettings(**options)
    )
    weights = 1 / maes**2 if weighted else np.ones(len(maes))
    weights /= weights.sum()
    val_mae = float(np.abs(weights @ of_val - y_val).mean())
    tags = [card.tag for card in find_cards(list(experts))]
    tried = [{"expert": tag, "val_mae": float(mae)} for tag, mae in zip(tags, maes, strict=True)]
    return Outcome(val_mae, weights @ predictions, predictions.std(0), tried=tried)
