"""Several crystals at once: each is chosen as if those before it had been measured already.

What is not known of two crystals goes together as far as they are alike. So the deviations of candidates are taken for
those of a Gaussian field over the mixed embedding, and shrink around each crystal that is chosen (a Gaussian process
that believes its own predictions: Ginsbourger, Le Riche and Carraro 2010; of deviations alone it is the choice of a
D-optimal design). What a crystal is worth then says by itself whether its neighbours are still worth a measurement.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from moe_mat.mixture.distances import squared_distances
from moe_mat.suggest.goals import Goal, Numbers

# Of the field, in median distances between the candidates.
LENGTH = 0.5
# Of a standard deviation, what a measurement of the very same crystal leaves.
NUGGET = 0.05


def correlations(mixed: Tensor) -> Numbers:
    """How far what is not known of crystals goes together ``[n, n]``, by mixed embeddings ``[n, width]``."""
    squared = squared_distances(mixed.double(), mixed.double())
    others = squared[~torch.eye(len(squared), dtype=torch.bool)]
    length = float(others.median()) * LENGTH**2 if len(others) else 1.0
    r = (3 * squared / max(length, 1e-12)).sqrt()
    correlated = ((1 + r) * (-r).exp()).numpy()
    np.fill_diagonal(correlated, 1.0)
    return correlated


def best(values: Numbers, n: int) -> tuple[list[int], Numbers]:
    """Rows of the ``n`` largest values in their order, and these; the first of equal ones."""
    order = np.argsort(-values, kind="stable")[:n]
    return order.tolist(), values[order]


def diverse(
    value: Callable[[Numbers, Numbers], Numbers], mean: Numbers, std: Numbers, correlated: Numbers, n: int
) -> tuple[list[int], Numbers]:
    """Choose crystals one after the other, each by what it is worth after those before it.

    Args:
        value: Of crystals, by predictions ``[m]`` and deviations ``[m]``.
        mean: Predictions ``[m]``.
        std: Their standard deviations ``[m]``.
        correlated: See `correlations`.
        n: How many.

    Returns:
        Their rows in the order of choice, and what each was worth then.
    """
    left, chosen, worth = np.ones(len(mean)), list[int](), list[float]()
    basis = np.empty((0, len(mean)))  # rows of the pivoted Cholesky factor of the correlations
    for _ in range(min(n, len(mean))):
        values = value(mean, std * np.sqrt(left))
        values[chosen] = -np.inf
        row = int(values.argmax())
        worth.append(float(values[row]))
        chosen.append(row)
        column = (correlated[row] - basis[:, row] @ basis) / np.sqrt(left[row] + NUGGET**2)
        basis = np.vstack([basis, column])
        left = np.clip(left - column**2, NUGGET**2, None)
    return chosen, np.array(worth)


def drawn(
    goal: Goal, mean: Numbers, std: Numbers, correlated: Numbers, n: int, random: np.random.Generator
) -> tuple[list[int], Numbers]:
    """Thompson sampling: for each place in the batch, the best crystal of one draw of all values.

    Draws of crystals that are alike are alike. A crystal that is chosen already gives way to the next of its draw.

    Args:
        goal: What is looked for.
        mean: Predictions ``[m]``.
        std: Their standard deviations ``[m]``.
        correlated: See `correlations`.
        n: How many.
        random: Draws.

    Returns:
        Rows in the order of choice, and the values that were drawn for them, in the target's unit.
    """
    factor = np.linalg.cholesky(correlated + NUGGET**2 * np.eye(len(mean))) / np.sqrt(1 + NUGGET**2)
    chosen, values = list[int](), list[float]()
    for _ in range(min(n, len(mean))):
        sample = mean + std * (factor @ random.standard_normal(len(mean)))
        merits = np.array(goal.merit(sample))
        merits[chosen] = -np.inf
        row = int(merits.argmax())
        chosen.append(row)
        values.append(float(sample[row]))
    return chosen, np.array(values)
