"""Sources of compositions: of each formula one crystal stands for all, and only its formula is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from moe_mat.pretrain.sources import SourceData


def ground_states(source: SourceData, *, energy: int) -> SourceData:
    """The formulas of a source; the values are those of the crystal of lowest energy that has one.

    Args:
        source: Whose samples are formulas, one a crystal, and whose parts have no formula in common.
        energy: The column of values that is the energy; crystals without one come last.

    Returns:
        Each formula once, in the order of their first crystals, called by that crystal's name. The training crystals
        are those of before.
    """
    formulas = np.array([one.reduced_formula for one in source.samples], dtype=object)
    table = pd.DataFrame(source.values).assign(formula=formulas)
    lowest = table.iloc[np.argsort(source.values[:, energy], kind="stable")].groupby("formula", sort=False).first()
    _, first = np.unique(formulas.astype(str), return_index=True)
    rows = np.sort(first)
    values = lowest.loc[formulas[rows]].to_numpy(dtype=float)
    return replace(
        source,
        ids=[source.ids[row] for row in rows.tolist()],
        samples=[source.samples[row] for row in rows.tolist()],
        values=values,
        parts=source.parts[rows],
        rows=source.rows | {"other_polymorphs": len(formulas) - len(rows)},
    )
