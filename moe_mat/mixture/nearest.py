"""The crystals of the training that are nearest to others, by the distance that the model itself goes by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.module import MixtureOfExperts

# Crystals whose differences from their neighbours are in memory at once.
CHUNK = 256


@torch.inference_mode()
def nearest_training(
    module: MixtureOfExperts, batch: Batch, k: int, *, target: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of the crystals that a model has learned from.

    Args:
        module: Fitted.
        batch: n crystals, embedded by the model's experts.
        k: How many of the nearest; no more than there are.
        target: For which of the targets; each has its own distance where the head is ``kernel`` or ``inducing``.

    Returns:
        Which ones ``[n, k]``, the nearest first: numbers in ``module.learned`` (`LearnedCrystals`: ids, formulas,
        targets), or, of a checkpoint from before models noted these, in the order in which the head keeps them. And
        their distances ``[n, k]``: in length scales of the process (``kernel``; ``inducing``, to the nearest
        landmarks), or in the mixed embedding.

    Raises:
        ValueError: When k is less than 1, or the head keeps no crystals.

    Example:
        >>> from moe_mat import MoERegressor
        >>> from moe_mat.crystals.datasets import load_quickstart
        >>> from moe_mat.mixture.crystal_inputs import embed_crystals
        >>> structures, table = load_quickstart()
        >>> model = MoERegressor("magpie", n_members=1, max_epochs=1, random_state=0)
        >>> member = model.fit(structures, table["bulk_modulus"]).members_[0]
        >>> batch = embed_crystals(member.cards, structures[:4], "none", device="cpu").batch
        >>> indices, distances = nearest_training(member, batch, 3)
        >>> indices.shape, distances[:, 0].tolist(), [member.learned.formulas[i] for i in indices[:, 0]]
        ((4, 3), [0.0, 0.0, 0.0, 0.0], ['Li', 'C', 'Ne', 'Na'])
    """
    if k < 1:
        raise ValueError(f"k is {k}: ask for 1 neighbour or more")
    module.eval()
    known = module.head.known_positions(target)
    if not len(known):
        raise ValueError("the model keeps no crystals that distances could be measured from: fit it first")
    found, distances = [], []
    for chunk in module.head.positions(batch, target).split(CHUNK):
        near = squared_distances(chunk, known).topk(min(k, len(known)), largest=False).indices
        # Squares that are subtracted leave a thousandth where there is nothing.
        exact, order = (chunk[:, None] - known[near]).norm(dim=2).sort(dim=1, stable=True)
        found.append(near.gather(1, order))
        distances.append(exact)
    kept = torch.cat(found)
    rows = kept if module.learned is None else module.learned.rows[target][kept]
    return rows.numpy(), torch.cat(distances).numpy()
