"""What a finished run leaves behind: metrics, predictions with ids, gate weights, plots, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from moe_mat.crystals.errors import LeftOut
from moe_mat.files.whole import write_text
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.mixture.plots import gate_plot, parity_plot


@dataclass(frozen=True)
class RunReport:
    """The numbers of a run.

    Attributes:
        rows: Number of rows of each part.
        metrics: One row a target and part: ``mae``, ``rmse``, ``r2`` and ``median_mae``, the MAE of always predicting
            the training median, in the target's unit.
        gate_weights: Expert tag to weight; sums to 1.
        predictions: ``material_id``, ``part``, and true and predicted values of each target.
    """

    rows: dict[str, int]
    metrics: pd.DataFrame
    gate_weights: dict[str, float]
    predictions: pd.DataFrame

    def joined(self, later: RunReport) -> RunReport:
        """This and a report on other parts of the same data."""
        return replace(
            self,
            metrics=pd.concat([self.metrics, later.metrics], ignore_index=True),
            predictions=pd.concat([self.predictions, later.predictions], ignore_index=True),
        )


def evaluate(
    model: MixtureOfExperts, data: EmbeddingDataModule, targets: Sequence[str], *, parts: Sequence[str]
) -> RunReport:
    """Predict parts of the data and score them.

    Args:
        model: A trained mixture.
        data: The data it was trained on, set up.
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
        frame = pd.DataFrame({"material_id": [name for ids, *_ in batches for name in ids], "part": part})
        true = torch.cat([values for _, values, _, _ in batches if values is not None]).numpy()
        predicted = torch.cat([values for _, _, values, _ in batches]).numpy()
        stds = [values for *_, values in batches if values is not None]
        for column, target in enumerate(targets):
            frame[target] = true[:, column]
            frame[f"{target}_predicted"] = predicted[:, column]
            if stds:
                frame[f"{target}_std"] = torch.cat(stds)[:, column].numpy()
            scores.append(
                {"target": target, "part": part, **_scores(true[:, column], predicted[:, column], medians[column])}
            )
        frames.append(frame)
    weights = gate_weights(model, data.embeddings[data.rows["train"]])
    rows = {part: len(of_part) for part, of_part in data.rows.items()}
    predictions = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return RunReport(rows, pd.DataFrame(scores), weights, predictions)


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


def write_run(folder: Path, report: RunReport, *, seed: int | None, left_out: Sequence[LeftOut] = ()) -> None:
    """Write ``metrics.json``, ``predictions.csv``, ``gate_weights.csv``, ``left_out.csv`` and the plots."""
    summary = {
        "moe_mat": version("moe_mat"),
        "seed": seed,
        "rows": report.rows,
        "left_out": len(left_out),
        "metrics": json.loads(report.metrics.to_json(orient="records", double_precision=15)),
        "gate_weights": report.gate_weights,
    }
    write_text(folder / "metrics.json", json.dumps(summary, indent=2))
    write_text(folder / "predictions.csv", report.predictions.to_csv(index=False))
    weights = pd.Series(report.gate_weights, name="weight").rename_axis("expert")
    write_text(folder / "gate_weights.csv", weights.to_csv())
    listed = pd.DataFrame([asdict(row) for row in left_out], columns=["source", "material_id", "column", "reason"])
    write_text(folder / "left_out.csv", listed.to_csv(index=False))
    gate_plot(report.gate_weights, path=folder / "gate_weights.png")
    targets = list(dict.fromkeys(report.metrics["target"]))
    for target in targets:
        frames = report.predictions.dropna(subset=[target]).groupby("part")
        parts = {part: frames.get_group(part) for part in ("train", "val", "test") if part in frames.groups}
        name = "parity.png" if len(targets) == 1 else f"parity_{target.replace('/', '_')}.png"
        parity_plot(
            {part: (f[target].to_numpy(), f[f"{target}_predicted"].to_numpy()) for part, f in parts.items()},
            label=target,
            path=folder / name,
        )
