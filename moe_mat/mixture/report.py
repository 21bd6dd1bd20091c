"""The numbers of a run: what is predicted of which rows, whether the model had learned from them, and the errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from moe_mat.encoders import choose_device
from moe_mat.mixture.batch import AT_ONCE
from moe_mat.mixture.calibrated import Calibrated
from moe_mat.mixture.checkpoints import read_run_checkpoint
from moe_mat.mixture.class_report import FoundOfPart, SaidOfPart, class_columns, classes_of_part
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.settings import DEFAULT_LEVEL
from moe_mat.mixture.uncertainty_scores import ALL_LEVELS, Judged, judge

# What is written of each target, as ends of the names of its columns.
PREDICTED_OF_TARGET = ("predicted", "std", "lower", "upper", "percentile", "outside")
# And after these, where it is known.
UNIT = "unit"


@dataclass(frozen=True)
class RunReport:
    """The numbers of a run.

    Attributes:
        rows: Number of rows of each part.
        metrics: One row a target, part and whether the model had learned from its crystals (``in_sample``): ``mae``,
            ``rmse``, ``r2`` and ``median_mae``, the MAE of always predicting the training median, in the target's unit;
            of crystals that it had not learned from also what `uncertainty_scores.scores_of_intervals` gives. Of
            classes what `moe_mat.mixture.class_scores.JudgedClasses` has, and ``prior_log_loss`` and
            ``prior_accuracy``, those of always saying how frequent the classes are in the training rows.
        gate_weights: Expert tag to weight; sums to 1.
        predictions: ``material_id``, ``part``, ``in_sample``, and of each target the true value, the predicted one, its
            standard deviation, the bounds of its interval, and whether the crystal is outside of what was learned; of
            classes their probabilities in place of deviation and bounds.
        calibration: Of crystals that were not learned from, one row a ``target``, ``part`` and ``level``: ``coverage``
            of the intervals, and ``mae`` of the share ``level`` of the crystals that have the narrowest; of classes the
            reliability curve.
        notes: What must be known to read the numbers, one line each.
        units: Target to its unit, where it is known.
    """

    rows: dict[str, int]
    metrics: pd.DataFrame
    gate_weights: dict[str, float]
    predictions: pd.DataFrame
    calibration: pd.DataFrame
    notes: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)

    def joined(self, later: RunReport) -> RunReport:
        """This and a report on other parts of the same data."""
        return replace(
            self,
            metrics=pd.concat([self.metrics, later.metrics], ignore_index=True),
            predictions=pd.concat([self.predictions, later.predictions], ignore_index=True),
            calibration=pd.concat([self.calibration, later.calibration], ignore_index=True),
        )

    def to_dict(self, part: str) -> dict[str, Any]:
        """What it says of one part, as plain data that a checkpoint may hold."""
        frames = {
            name: frame[frame["part"] == part].to_dict("list") if "part" in frame else {}
            for name in ("metrics", "predictions", "calibration")
            for frame in [getattr(self, name)]
        }
        return {"rows": self.rows, "gate_weights": self.gate_weights, "units": dict(self.units), **frames}

    @classmethod
    def of_dict(cls, content: Mapping[str, Any], *, notes: tuple[str, ...]) -> RunReport:
        """From what `to_dict` returned."""
        metrics, predictions, calibration = (
            pd.DataFrame(content[name]) for name in ("metrics", "predictions", "calibration")
        )
        predictions = predictions.astype({name: np.float32 for name in predictions.select_dtypes("float")})
        return cls(
            content["rows"], metrics, content["gate_weights"], predictions, calibration, notes, content.get("units", {})
        )

    @property
    def of_classes(self) -> bool:
        """Whether the target is a class."""
        return "log_loss" in self.metrics

    @property
    def classes(self) -> list[str]:
        """Their names in order; none where targets are numbers."""
        if not self.of_classes:
            return []
        beginning = f"{self.metrics['target'][0]}_p_"
        return [name.removeprefix(beginning) for name in map(str, self.predictions) if name.startswith(beginning)]

    def metrics_records(self) -> list[dict[str, Any]]:
        """The metrics as JSON has them."""
        return json.loads(self.metrics.to_json(orient="records", double_precision=15))


def evaluate(
    model: MixtureOfExperts,
    data: EmbeddingDataModule,
    targets: Sequence[str],
    *,
    parts: Sequence[str],
    level: float = DEFAULT_LEVEL,
) -> RunReport:
    """Predict parts of the data and score them; crystals that the model has learned from apart from the others.

    Args:
        model: A trained mixture.
        data: Set up: the data it was trained on, or others.
        targets: Names of the target columns.
        parts: Any of ``train``, ``val`` and ``test``.
        level: Of the intervals.
    """
    model.eval()
    device, units = choose_device(data.device), model.hparams["units"]
    frames, scores, calibrations = [], [], []
    for part in parts:
        with torch.no_grad(), model.head.tuned_on(device):
            some = (one for batch in data.evaluation_loader(part) for one in batch.parts(AT_ONCE))
            seen = [(batch.ids, batch.targets, model.say(batch)) for batch in some]
        if not seen:
            continue
        true = torch.cat([values for _, values, _ in seen if values is not None])
        of_part = SaidOfPart(true, Said.joined([said for _, _, said in seen]), _in_sample(model, data, part))
        ids = [name for names, _, _ in seen for name in names]
        known = data.targets[data.rows["train"]]
        if model.probabilities is not None:
            found = classes_of_part(model, of_part, str(targets[0]), known)
        else:
            found = _numbers_of_part(model, of_part, targets, known, level)
        beginning = pd.DataFrame({"material_id": ids, "part": part, "in_sample": of_part.in_sample})
        frames.append(pd.concat([beginning, found.predictions], axis=1))
        scores += [{"target": row.pop("target"), "part": part, **row} for row in found.scores]
        calibrations += [frame.assign(part=part) for frame in found.calibrations]
    weights = gate_weights(model, data.embeddings, data.rows["train"])
    rows = {part: len(of_part) for part, of_part in data.rows.items()}
    predictions, calibration = (
        pd.concat(some, ignore_index=True) if some else pd.DataFrame() for some in (frames, calibrations)
    )
    return RunReport(rows, pd.DataFrame(scores), weights, predictions, calibration, units=units)


def _numbers_of_part(
    model: MixtureOfExperts, of_part: SaidOfPart, targets: Sequence[str], known: torch.Tensor, level: float
) -> FoundOfPart:
    """Predictions and scores of targets that are numbers; ``known`` are those of the training rows."""
    said, in_sample, units = of_part.said, of_part.in_sample, model.hparams["units"]
    medians = torch.nanmedian(known, dim=0).values.numpy()
    written: dict[str, np.ndarray] = {}
    scores, calibrations = [], []
    for column, target in enumerate(targets):
        values, columns = of_part.true[:, column].numpy(), prediction_columns(model, said, column, level)
        written |= {target: values, **{f"{target}_{kind}": one for kind, one in columns.items()}}
        if target in units:
            written[f"{target}_{UNIT}"] = np.full(len(values), units[target])
        for learned in sorted(set(in_sample.tolist())):
            some = (in_sample == learned) & np.isfinite(values)
            numbers = _scores(values[some], columns["predicted"][some], medians[column])
            if not learned and some.any() and np.isfinite(columns["std"][some]).all():
                judged = _judge(model, said, values, column, some)
                numbers |= judged.scores
                calibrations.append(judged.calibration.assign(target=target))
            scores.append({"target": target, "in_sample": learned, **numbers})
    return FoundOfPart(pd.DataFrame(written), scores, calibrations)


def told_columns(model: Calibrated, said: Said, column: int, level: float) -> dict[str, np.ndarray]:
    """What is told of one target, by the end of the column's name: that of `prediction_columns`, or `class_columns`."""
    return class_columns(model, said) if model.classes else prediction_columns(model, said, column, level)


def prediction_columns(model: Calibrated, said: Said, column: int, level: float) -> dict[str, np.ndarray]:
    """What is written of one target, by the end of the column's name ``[n]`` each; unknown numbers are NaN.

    Args:
        model: That has said it.
        said: Of some crystals.
        column: Of the target.
        level: Of the intervals.
    """
    lower, upper = model.intervals.bounds(said, level)
    numbers = (said.predicted.values, model.intervals.std(said), lower, upper, said.percentiles, said.outside)
    return {kind: one[:, column].numpy() for kind, one in zip(PREDICTED_OF_TARGET, numbers, strict=True)}


def _judge(model: MixtureOfExperts, said: Said, true: np.ndarray, column: int, rows: np.ndarray) -> Judged:
    bounds = [model.intervals.bounds(said, level) for level in ALL_LEVELS]
    lower, upper = (torch.stack(side, dim=2)[:, column].numpy()[rows] for side in zip(*bounds, strict=True))
    predicted, std = (one[:, column].numpy()[rows] for one in (said.predicted.values, model.intervals.std(said)))
    return judge(true[rows], predicted, std, lower, upper)


def score(
    model: MixtureOfExperts, data: EmbeddingDataModule, checkpoint: Path, *, part: str, level: float = DEFAULT_LEVEL
) -> RunReport:
    """Report on one part of some data what a finished model predicts of it.

    Its own validation rows are among those that a finished model may have learned from. What it predicted of them
    before is in the checkpoint, and is reported in place of what it would say now.

    Args:
        model: With the settings of the checkpoint.
        data: Its own data, or others.
        checkpoint: Of the finished model.
        part: ``val`` or ``test``.
        level: Of the intervals.

    Raises:
        WeightsError: When the checkpoint cannot be used; names it.
        ValueError: When its experts have changed, or there are no such rows.
    """
    content = read_run_checkpoint(checkpoint)
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    data.setup("validate" if part == "val" else "test")
    if not len(data.rows[part]):
        raise ValueError(f"there are no {part} rows: data.fractions or the file of splits leave none")
    if model.outcome is not None and part in model.outcome.parts and model.outcome.validation and _is_own(model, data):
        note = "errors from before the model learned from these rows too, as fit measured them; now they would be lower"
        return RunReport.of_dict(model.outcome.validation, notes=(note,))
    report = evaluate(model, data, model.hparams["targets"], parts=(part,), level=level)
    learned = int(report.predictions["in_sample"].sum())
    note = f"{learned} of {len(report.predictions)} {part} rows are crystals that the model has learned from: in sample"
    return replace(report, notes=(note,)) if learned else report


def _is_own(model: MixtureOfExperts, data: EmbeddingDataModule) -> bool:
    return model.data_digest is not None and model.data_digest.difference(data.digest) is None


def _in_sample(model: MixtureOfExperts, data: EmbeddingDataModule, part: str) -> np.ndarray:
    """Whether the model has learned from each row of a part ``[n]``: by row in its own data, by structure in others."""
    rows = data.rows[part].tolist()
    if model.outcome is None:  # in training, it has seen the training rows alone
        return np.full(len(rows), part == "train")
    if not data.keys or _is_own(model, data):
        return np.full(len(rows), part in model.outcome.parts)
    return model.outcome.knows([data.keys[row] for row in rows])


def _scores(true: np.ndarray, predicted: np.ndarray, median: float) -> dict[str, float]:
    true, predicted = true.astype(float), predicted.astype(float)
    if not len(true):
        return {"n": 0, "mae": np.nan, "rmse": np.nan, "r2": np.nan, "median_mae": np.nan}
    errors, spread = predicted - true, ((true - true.mean()) ** 2).sum()
    return {
        "n": len(true),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": float(1 - (errors**2).sum() / spread) if spread > 0 else np.nan,
        "median_mae": float(np.abs(true - median).mean()),
    }
