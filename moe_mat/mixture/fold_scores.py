"""The numbers of a cross-validation: those of each fold, their mean and their spread."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from moe_mat.crystals.folds import Fold
from moe_mat.mixture.report import RunReport

METRICS = ["mae", "median_mae", "rmse", "r2"]
# Of the intervals; empty where too few crystals were held out to make any.
OF_INTERVALS = ["coverage_90", "width_90", "crps"]
# Of classes, those that are shown, and the others.
OF_CLASSES = ["balanced_accuracy", "roc_auc", "log_loss", "prior_log_loss"]
MORE_OF_CLASSES = ["accuracy", "prior_accuracy", "brier", "calibration_error"]


def metrics_of(frame: pd.DataFrame) -> list[str]:
    """The metrics of targets that are numbers, or of classes."""
    return [*OF_CLASSES, *MORE_OF_CLASSES] if "log_loss" in frame else [*METRICS, *OF_INTERVALS]


def fold_metrics(trained: Iterable[tuple[Fold, RunReport]]) -> pd.DataFrame:
    """One row a fold and target: ``repeat``, ``fold``, ``target``, ``n`` (test rows) and the metrics of `RunReport`."""
    frames = [report.metrics.assign(repeat=fold.repeat, fold=fold.number) for fold, report in trained]
    joined = pd.concat(frames, ignore_index=True)
    return joined.reindex(columns=["repeat", "fold", "target", "n", *metrics_of(joined)])


def out_of_fold_predictions(trained: Iterable[tuple[Fold, RunReport]]) -> pd.DataFrame:
    """One row a crystal and repeat: ``material_id``, ``repeat``, ``fold``, and of each target what `RunReport` has."""
    frames = []
    for fold, report in trained:
        frame = report.predictions.drop(columns=["part", "in_sample"])
        frame.insert(1, "repeat", fold.repeat)
        frame.insert(2, "fold", fold.number)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).dropna(axis="columns", how="all")


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of each target's metrics.

    Args:
        metrics: As `fold_metrics` gives them.

    Returns:
        ``target``, ``of`` (``mean``, ``std of folds``, and where there are several repeats ``std of repeats``, that of
        their means) and the metrics. Standard deviations are those of a sample, with n - 1.
    """
    rows, numbers = [], metrics_of(metrics)
    for target, of_target in metrics.groupby("target", sort=False):
        means = of_target.groupby("repeat")[numbers].mean()
        rows.append({"target": target, "of": "mean", **of_target[numbers].mean().to_dict()})
        rows.append({"target": target, "of": "std of folds", **of_target[numbers].std().to_dict()})
        if len(means) > 1:
            rows.append({"target": target, "of": "std of repeats", **means.std().to_dict()})
    return pd.DataFrame(rows)
