"""What a search has found, as plain data and in words, and the files that hold it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from moe_mat.crystals.folds import Fold
from moe_mat.files.whole import write_text
from moe_mat.tune.comparison import Comparison, compare, judge_trials
from moe_mat.tune.space import SearchSpace
from moe_mat.tune.trials import Trial

SUMMARY = "tuning.json"
SPLITS = "splits.json"
BEST = "best.yaml"


def found_by(trials: Sequence[Trial], space: SearchSpace, folds: Sequence[Fold]) -> dict[str, Any]:
    """What trials say.

    Args:
        trials: Of a search; the given configuration is complete.
        space: What was compared.
        folds: Of every trial.

    Returns:
        ``trials`` (the best first: ``trial``, ``changes``, ``state``, ``folds``, ``score``, ``difference`` to the given
        configuration with ``error`` and ``chance``, ``seconds``, ``reason``, ``scores``), ``default`` and ``best``
        (their scores), ``best_trial``, ``chance``, ``chosen_elsewhere``, ``optimism`` (share of the score), ``wins``
        and ``verdict``.
    """
    complete = sorted((one for one in trials if one.state == "complete"), key=lambda one: one.number)
    scores = np.array([[one.scores[fold] for fold in range(len(folds))] for one in complete])
    share = float(np.mean([len(fold.split.test) / (len(fold.split.train) + len(fold.split.val)) for fold in folds]))
    judged = judge_trials(scores, test_share=share)
    given, best = complete[0], complete[judged.best]
    lowest = float(scores[judged.best].mean())
    return {
        "trials": [_record(one, given, space, share) for one in _in_order(trials)],
        "default": float(scores[0].mean()),
        "best": lowest,
        "best_trial": best.number,
        "chance": judged.chance,
        "chosen_elsewhere": judged.chosen_elsewhere,
        "optimism": (judged.chosen_elsewhere - lowest) / judged.chosen_elsewhere if judged.chosen_elsewhere else 0.0,
        "wins": judged.wins,
        "verdict": _verdict(judged, scores, named(space.changes(best.labels))),
    }


def named(changes: Mapping[str, str]) -> str:
    """Changes in a line, such as ``head mlp, dropout 0.3``."""
    return ", ".join(f"{name} {value}" for name, value in changes.items()) or "the defaults"


def _in_order(trials: Sequence[Trial]) -> list[Trial]:
    """The complete ones by their score, and the others after them."""

    def key(one: Trial) -> tuple[bool, float, int]:
        score = float(np.mean(list(one.scores.values()))) if one.scores else math.inf
        return one.state != "complete", score, one.number

    return sorted(trials, key=key)


def _record(one: Trial, given: Trial, space: SearchSpace, share: float) -> dict[str, Any]:
    folds = sorted(one.scores)
    scores = np.array([one.scores[fold] for fold in folds])
    found = compare(scores, np.array([given.scores[fold] for fold in folds]), test_share=share) if folds else None
    return {
        "trial": one.number,
        "changes": space.changes(one.labels),
        "state": one.state,
        "folds": len(folds),
        "score": float(scores.mean()) if folds else None,
        "difference": found.mean if found else None,
        "error": found.error if found and math.isfinite(found.error) else None,
        "chance": found.chance if found and math.isfinite(found.chance) else None,
        "seconds": one.seconds,
        "reason": one.reason,
        "scores": {str(fold): one.scores[fold] for fold in folds},
    }


def _verdict(judged: Comparison, scores: np.ndarray, changes: str) -> str:
    others, n_folds, given = len(scores) - 1, scores.shape[1], scores[0].mean()
    if not others:
        return "keep the defaults: nothing else was compared to the end, which takes more minutes, or fewer folds"
    if judged.best == 0:
        return f"keep the defaults: none of the others ({others}) is better in the mean of {n_folds} folds"
    found = judged.differences[judged.best]
    change = f"{100 * found.mean / given:+.1f} ± {100 * found.error / given:.1f} %"
    luck = f"the best of {others} looks so by noise alone in {_percent(judged.chance)} of such searches"
    if judged.wins:
        return f"better than the defaults by more than the noise over folds: {changes} ({change}; {luck})"
    return f"keep the defaults: the best, {changes}, differs by {change}, which is within the noise ({luck})"


def _percent(share: float) -> str:
    return "up to 100 %" if share >= 1 else f"{100 * share:.2g} %" if share >= 0.001 else "less than 0.1 %"


def write_results(
    folder: Path,
    found: Mapping[str, Any],
    *,
    identity: Mapping[str, object],
    splits: Mapping[str, object],
    config: Mapping[str, object],
) -> None:
    """Write ``tuning.json``, ``trials.csv``, ``splits.json`` and ``best.yaml``.

    Args:
        folder: Where to.
        found: By `found_by`, and what else ``tuning.json`` is to hold.
        identity: What the numbers depend on.
        splits: The split whose test rows nothing has seen, and the folds.
        config: Of ``moe-mat fit``: the best configuration, or the given one where none is better.
    """
    rows = [{**one, "changes": named(one["changes"])} for one in found["trials"]]
    frame = pd.DataFrame([{name: value for name, value in one.items() if name != "scores"} for one in rows])
    n_folds = max(len(one["scores"]) for one in rows)
    for fold in range(n_folds):
        frame[f"fold_{fold}"] = [one["scores"].get(str(fold)) for one in rows]
    write_text(folder / "trials.csv", frame.to_csv(index=False))
    write_text(folder / SPLITS, json.dumps(splits))
    write_text(folder / BEST, f"# {found['verdict']}\n" + yaml.safe_dump(config, sort_keys=False))
    write_text(folder / SUMMARY, json.dumps({**identity, **found}, indent=2))


def as_config(settings: object) -> dict[str, object]:
    """Settings as YAML has them."""
    plain = asdict(settings)  # type: ignore[call-overload]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
