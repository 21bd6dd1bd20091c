"""The numbers of a run: what is predicted of which rows, whether the model had learned from them, and the errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from moe_mat.mixture.checkpoints import read_run_checkpoint
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts, gate_weights


@dataclass(frozen=True)
class RunReport:
    """The numbers of a run.

    Attributes:
        rows: Number of rows of each part.
        metrics: One row a target, part and whether the model had learned from its crystals (``in_sample``): ``mae``,
            ``rmse``, ``r2`` and ``median_mae``, the MAE of always predicting the training median, in the target's unit.
        gate_weights: Expert tag to weight; sums to 1.
        predictions: ``material_id``, ``part``, ``in_sample``, and of each target the true value, the predicted one and
            its standard deviation, which is empty where the head knows none.
        notes: What must be known to read the numbers, one line each.
    """

    rows: dict[str, int]
    metrics: pd.DataFrame
    gate_weights: dict[str, float]
    predictions: pd.DataFrame
    notes: tuple[str, ...] = ()

    def joined(self, later: RunReport) -> RunReport:
        """This and a report on other parts of the same data."""
        return replace(
            self,
            metrics=pd.concat([self.metrics, later.metrics], ignore_index=True),
            predictions=pd.concat([self.predictions, later.predictions], ignore_index=True),
        )

    def to_dict(self, part: str) -> dict[str, Any]:
        """What it says of one part, as plain data that a checkpoint may hold."""
        metrics, predictions = (
            frame[frame["part"] == part].to_dict("list") if "part" in frame else {}
            for frame in (self.metrics, self.predictions)
        )
        return {"rows": self.rows, "metrics": metrics, "gate_weights": self.gate_weights, "predictions": predictions}

    @classmethod
    def of_dict(cls, content: Mapping[str, Any], *, notes: tuple[str, ...]) -> RunReport:
        """From what `to_dict` returned."""
        metrics, predictions = pd.DataFrame(content["metrics"]), pd.DataFrame(content["predictions"])
        predictions = predictions.astype({name: np.float32 for name in predictions.select_dtypes("float")})
        return cls(content["rows"], metrics, content["gate_weights"], predictions, notes)

    def metrics_records(self) -> list[dict[str, Any]]:
        """The metrics as JSON has them."""
        return json.loads(self.metrics.to_json(orient="records", double_precision=15))


def evaluate(
    model: MixtureOfExperts, data: EmbeddingDataModule, targets: Sequence[str], *, parts: Sequence[str]
) -> RunReport:
    """Predict parts of the data and score them; crystals that the model has learned from apart from the others.

    Args:
        model: A trained mixture.
        data: Set up: the data it was trained on, or others.
        targets: Names of the target columns.
        parts: Any of ``train``, ``val`` and ``test``.
    """
    model.eval()
    frames, scores = [], []
    medians = torch.nanmedian(data.targets[data.rows["train"]], dim=0).values.numpy()
    for part in parts:
        with torch.no_grad():
            loader = data.evaluation_loader(part)
            batches = [(b.ids, b.targets, model(b), model.head.std(b)) for b in loader]
        if not batches:
            continue
        in_sample = _in_sample(model, data, part)
        ids = [name for ids, *_ in batches for name in ids]
        frame = pd.DataFrame({"material_id": ids, "part": part, "in_sample": in_sample})
        true = torch.cat([values for _, values, _, _ in batches if values is not None]).numpy()
        predicted = torch.cat([values for _, _, values, _ in batches]).numpy()
        stds = [values for *_, values in batches if values is not None]
        for column, target in enumerate(targets):
            frame[target] = true[:, column]
            frame[f"{target}_predicted"] = predicted[:, column]
            frame[f"{target}_std"] = torch.cat(stds)[:, column].numpy() if stds else np.nan
            for learned in sorted(set(in_sample.tolist())):
                some = in_sample == learned
                numbers = _scores(true[some, column], predicted[some, column], medians[column])
                scores.append({"target": target, "part": part, "in_sample": learned, **numbers})
        frames.append(frame)
    weights = gate_weights(model, data.embeddings[data.rows["train"]])
    rows = {part: len(of_part) for part, of_part in data.rows.items()}
    predictions = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return RunReport(rows, pd.DataFrame(scores), weights, predictions)


def score(model: MixtureOfExperts, data: EmbeddingDataModule, checkpoint: Path, *, part: str) -> RunReport:
    """Report on one part of some data what a finished model predicts of it.

    Its own validation rows are among those that a finished model may have learned from. What it predicted of them
    before is in the checkpoint, and is reported in place of what it would say now.

    Args:
        model: With the settings of the checkpoint.
        data: Its own data, or others.
        checkpoint: Of the finished model.
        part: ``val`` or ``test``.

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
    report = evaluate(model, data, model.hparams["targets"], parts=(part,))
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
    present = np.isfinite(true)
    true, predicted = true[present].astype(float), predicted[present].astype(float)
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
