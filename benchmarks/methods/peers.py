"""Peers that a user might pick instead; they need the extra ``peers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.methods.mixtures import embedded
from benchmarks.methods.problem import Outcome, Problem


def boosted_trees(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]] = ()
) -> Outcome:
    """LightGBM on the experts' embeddings side by side, stopped where the validation MAE is lowest.

    Settings and candidates are LightGBM's; ``stopping_rounds`` is how long it waits for a better one; and ``refit``:
    whether the chosen settings and number of trees are fitted anew on training and validation rows together.

    Raises:
        ImportError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise ImportError("this method needs LightGBM: pip install moe_mat[peers]") from error
    options = dict(settings)
    refit = options.pop("refit", False)
    stop = lightgbm.early_stopping(options.pop("stopping_rounds", 100), verbose=False)
    options |= {"random_state": problem.seed, "n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbose": -1}
    (x, y), (x_val, y_val) = problem.train, problem.val
    of_train, of_val, of_test = (np.concatenate(embedded(experts, s), axis=1) for s in (x, x_val, problem.test))
    tried: list[dict[str, Any]] = []
    best: Any = None
    for candidate in candidates or [{}]:
        model = lightgbm.LGBMRegressor(**{**options, **candidate})
        model.fit(of_train, y, eval_set=[(of_val, y_val)], eval_metric="mae", callbacks=[stop])
        mae = float(np.abs(model.predict(of_val) - y_val).mean())
        if best is None or mae < min(one["val_mae"] for one in tried):
            best = model
        tried.append({**candidate, "n_trees": model.best_iteration_, "val_mae": mae})
    chosen = dict(min(tried, key=lambda one: one["val_mae"]))
    val_mae = chosen.pop("val_mae")
    if refit:
        # As many trees as validation chose: there are no rows left that could stop it.
        best.set_params(n_estimators=max(1, chosen["n_trees"]))
        best.fit(np.concatenate([of_train, of_val]), np.concatenate([y, y_val]))
    return Outcome(
        val_mae=val_mae, predictions=best.predict(of_test), chosen=chosen, tried=tried if len(tried) > 1 else ()
    )
