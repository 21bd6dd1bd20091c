"""MODNet's features of crystals, computed once: what a preset says of a crystal is kept in a SQLite file."""

from __future__ import annotations

import importlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from modnet import __version__
from modnet.featurizers import MODFeaturizer
from pymatgen.core import Structure

# The presets that are worth their time, and where MODNet has them.
PRESETS = {
    "Matminer2024Fast": "matminer_2024_fast",
    "Matminer2023": "matminer_2023",
    "DeBreuck2020": "debreuck_2020",
}
SCHEMA = "CREATE TABLE IF NOT EXISTS features (preset, key, content, PRIMARY KEY (preset, key))"
# Crystals that are featurised, and kept, together.
BATCH = 50


def features_of(rows: pd.DataFrame, preset: str, cache: Path) -> pd.DataFrame:
    """The features of a preset ``[n, n_features]``, NaN where there are none; crystals that are known are not computed.

    Args:
        rows: columns ``key``, which names the crystal in the cache, and OPTIMADE's ``lattice_vectors``,
            ``cartesian_site_positions`` (Å) and ``species_at_sites``.
        preset: one of `PRESETS`.
        cache: SQLite file, made where there is none.
    """
    space = f"{preset} of MODNet {__version__}"
    with closing(sqlite3.connect(cache, timeout=600)) as connection:
        connection.execute(SCHEMA)
        known = dict(connection.execute("SELECT key, content FROM features WHERE preset = ?", [space]))
        missing = rows[~rows["key"].isin(known.keys())].drop_duplicates("key")
        for key, content in _computed(missing, preset):
            known[key] = content
            with connection:
                connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", [space, key, content])
    table = pd.DataFrame([json.loads(known[key]) for key in rows["key"]], index=rows.index, dtype=float)
    return table.sort_index(axis=1).replace([np.inf, -np.inf], np.nan)


def _computed(rows: pd.DataFrame, preset: str) -> Iterator[tuple[str, str]]:
    """Keys, and the features of their crystals in JSON."""
    featurizer = _featurizer(preset)
    for start in range(0, len(rows), BATCH):
        part = rows.iloc[start : start + BATCH]
        crystals = pd.DataFrame({"structure": [_structure(row) for row in part.itertuples()]}, index=part["key"])
        table = featurizer.featurize(crystals).apply(pd.to_numeric, errors="coerce")
        for key, values in table.iterrows():
            yield str(key), json.dumps({name: value for name, value in values.items() if np.isfinite(value)})


def _featurizer(preset: str) -> MODFeaturizer:
    module = importlib.import_module(f"modnet.featurizers.presets.{PRESETS[preset]}")
    featurizer: MODFeaturizer = getattr(module, f"{preset}Featurizer")()
    featurizer.set_n_jobs(1)
    return featurizer


def _structure(row: Any) -> Structure:
    return Structure(
        np.stack(row.lattice_vectors),
        list(row.species_at_sites),
        np.stack(row.cartesian_site_positions),
        coords_are_cartesian=True,
    )
