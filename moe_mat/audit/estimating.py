"""The audit without structures: for a run that is to end at once, and for data whose structures are no longer there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from moe_mat.audit.exposure import group
from moe_mat.audit.matching import VOLUME_TOLERANCE, Compared, Matches
from moe_mat.crystals.training_crystals import TrainingCrystals, formula_hash
from moe_mat.zoo.cards import ExpertCard

REASON = "structures were not compared"


def estimate(crystals: pd.DataFrame, cards: Sequence[ExpertCard]) -> Matches:
    """Compare crystals with those that experts were trained on, by formula, size of the cell and volume.

    It finds what `moe_mat.audit.match` finds where the sources' files are not at hand, and marks it as estimated.

    Args:
        crystals: A row a crystal ``[n]``: reduced ``formula``, ``n_atoms``, and ``volume`` in Å³ per atom.
        cards: Of the experts.

    Raises:
        ValueError: When training crystals are damaged; names the file.
    """
    groups = group(cards)
    hashes = np.array([formula_hash(formula) for formula in crystals["formula"]], dtype=np.uint64)
    n_atoms, volumes = crystals["n_atoms"].to_numpy(), crystals["volume"].to_numpy()
    compared: dict[tuple[Path, str], Compared] = {}
    for key in dict.fromkeys((one.training_crystals, one.file) for exposure in groups for one in exposure.known):
        known = TrainingCrystals.load(key[0])
        first, last = (np.searchsorted(known.formulas, hashes, side) for side in ("left", "right"))
        rows = np.repeat(np.arange(len(crystals)), last - first)
        others = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)] or [np.empty(0, int)])
        few, many = np.sort([n_atoms[rows], known.n_atoms[others].astype(np.int64)], axis=0)
        same = (many % few == 0) & (np.abs(volumes[rows] / known.volumes[others] - 1) < VOLUME_TOLERANCE)
        compared[key] = Compared(known, np.stack([rows, others], axis=1).astype(np.int64), same, REASON)
    return Matches(groups, compared, np.arange(len(crystals)))
