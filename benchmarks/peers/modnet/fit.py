"""MODNet on one problem: ``python fit.py FOLDER CACHE``, in an environment of its own.

Reads ``rows.parquet`` and ``settings.json`` of the folder and writes ``answer.json`` there; `benchmarks.peers.exchange`
says what is in them. The rows of the part ``test`` have no targets.

Features are chosen on training and validation rows, by MODNet's relevance and redundancy; settings are those with the
lowest error on validation rows of a network of the training rows; an ensemble with them then learns from both.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cross_nmi import FILE, PRESET
from features import features_of
from modnet.preprocessing import MODData

PACKAGES = ("modnet", "tensorflow", "matminer", "pymatgen", "numpy", "pandas", "scikit-learn")
# Settings that are of the network; the others are of its training.
ARCHITECTURE = ("n_feat", "num_neurons", "act")
TARGET = "target"


def answer(rows: pd.DataFrame, settings: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Fit and predict.

    Args:
        rows: columns ``part``, ``target``, and those that `features_of` takes.
        settings: ``features``, ``n_models``, ``seed``, ``candidates``, and MODNet's that all candidates share.
        cache: file of features.
    """
    options = dict(settings)
    candidates, preset = options.pop("candidates"), options.pop("features")
    n_models, seed = options.pop("n_models"), options.pop("seed")
    table = features_of(rows.reset_index(drop=True).rename(index=str), preset, cache)
    part, target = rows["part"].to_numpy(), rows["target"].to_numpy()
    learned = np.flatnonzero(part != "test")
    # MODNet's stopping rule and learning rates are for targets of about one; of heavy tails this scale knows little.
    center = float(np.median(target[learned]))
    scale = float(np.abs(target[learned] - center).mean()) or 1.0
    scaled = (target - center) / scale

    both = _data(table, scaled, learned, _cross_nmi(preset), seed)
    train, val = (both.from_indices(np.flatnonzero(part[learned] == name)) for name in ("train", "val"))
    tried = []
    for candidate in candidates or [{}]:
        model = _fitted(train, {**options, **candidate}, seed)
        tried.append({**candidate, "val_mae": _mae(model, val) * scale})
    chosen = min(range(len(tried)), key=lambda number: tried[number]["val_mae"])
    model = _fitted(both, {**options, **(candidates or [{}])[chosen]}, seed, n_models=n_models)
    test = MODData(df_featurized=table.iloc[np.flatnonzero(part == "test")])
    mean, std = model.predict(test, return_unc=True)
    return {
        "predictions": (mean[TARGET].to_numpy(float) * scale + center).tolist(),
        "std": (std[TARGET].to_numpy(float) * scale).tolist(),
        "val_mae": tried[chosen]["val_mae"],
        "chosen": {name: value for name, value in tried[chosen].items() if name != "val_mae"},
        "tried": tried,
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
    }


def _cross_nmi(preset: str) -> pd.DataFrame | None:
    """What features say of each other; None for presets of which MODNet has to find out on the rows at hand."""
    return pd.read_csv(FILE, index_col=0) if preset == PRESET else None


def _data(
    table: pd.DataFrame, target: np.ndarray, rows: np.ndarray, cross_nmi: pd.DataFrame | None, seed: int
) -> MODData:
    """Rows with their features in the order in which MODNet would choose them."""
    if cross_nmi is not None:  # others would be looked at and then left out
        table = table[[name for name in cross_nmi if name in table]]
    data = MODData(targets=target[rows], target_names=[TARGET], df_featurized=table.iloc[rows])
    data.feature_selection(n=-1, cross_nmi=cross_nmi, n_jobs=1, random_state=seed + 1)
    return data


def _fitted(data: MODData, settings: Mapping[str, Any], seed: int, n_models: int = 0) -> Any:
    """A network, or an ensemble of networks of bootstrap samples, which stops as in MODNet's genetic search."""
    # After the choice of features: MODNet may fork for that, and a fork with TensorFlow in it may hang.
    import tensorflow as tf
    from modnet.models import EnsembleMODNetModel, MODNetModel

    tf.keras.utils.set_random_seed(seed)
    options = dict(settings)
    architecture = {name: options.pop(name) for name in ARCHITECTURE}
    architecture["n_feat"] = min(architecture["n_feat"], len(data.get_optimal_descriptors()))
    stop = tf.keras.callbacks.EarlyStopping(monitor="loss", min_delta=0.001, patience=options.pop("patience"))
    about = {"targets": [[[TARGET]]], "weights": {TARGET: 1.0}, **architecture}
    model = EnsembleMODNetModel(n_models=n_models, random_state=seed, **about) if n_models else MODNetModel(**about)
    for network in model.models if n_models else [model]:
        # Keras spends more time between steps than in them.
        steps = -(-len(data.df_featurized) // options["batch_size"])
        network.model.compile = functools.partial(network.model.compile, steps_per_execution=steps)
    model.fit(data, callbacks=[stop], **options)
    return model


def _mae(model: Any, data: MODData) -> float:
    predicted = model.predict(data)[TARGET].to_numpy(float)
    return float(np.abs(predicted - data.df_targets[TARGET].to_numpy(float)).mean())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = answer(
        pd.read_parquet(folder / "rows.parquet"),
        json.loads((folder / "settings.json").read_text(encoding="utf-8")),
        Path(sys.argv[2]),
    )
    (folder / "answer.json").write_text(json.dumps(found), encoding="utf-8")
