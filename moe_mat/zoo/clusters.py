"""Clusters of crystals that experts see as alike: groups to be left out as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from pymatgen.core import Structure
from sklearn.cluster import KMeans

from moe_mat.crystals.structures import crystals_from_objects
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.find import find_cards

N_CLUSTERS = 20
# Below this many crystals a cluster, there are fewer clusters.
SMALLEST_MEAN = 4


def cluster_groups(
    structures: Sequence[Structure] | Sequence[Atoms],
    *,
    experts: str | Sequence[str] = "default",
    n_clusters: int = N_CLUSTERS,
    random_state: int = 0,
) -> np.ndarray:
    """Number of the cluster that each crystal belongs to ``[n]``: ``groups`` of scikit-learn.

    To leave out one cluster at a time tells the error on crystals unlike those of the training (Meredig et al., Mol.
    Syst. Des. Eng. 3, 819, 2018).

    Args:
        structures: The crystals.
        experts: Whose embeddings are clustered: tags, patterns, folders of cards, or a tier.
        n_clusters: Number of clusters; with less than four times as many crystals there are fewer.
        random_state: Of the starting points.

    Raises:
        CrystalError: When a crystal cannot be used or embedded; names its position.
    """
    checked = [crystal.structure for crystal in crystals_from_objects(list(structures))]
    with EmbeddingCache() as cache:
        embedded = embed(find_cards(experts if isinstance(experts, str) else list(experts)), checked, cache=cache)
    embedded.require_all(checked)
    return cluster_labels(embedded.values, n_clusters=n_clusters, random_state=random_state)


def cluster_labels(
    embeddings: Mapping[str, np.ndarray], *, n_clusters: int = N_CLUSTERS, random_state: int = 0
) -> np.ndarray:
    """Cluster embeddings by k-means ``[n]``: columns are standardised, and all experts count alike.

    Args:
        embeddings: Expert to its embeddings ``[n, dim]``.
        n_clusters: Number of clusters; with less than four times as many crystals there are fewer.
        random_state: Of the starting points.
    """
    blocks = []
    for values in embeddings.values():
        values = values.astype(np.float64)
        spread = values.std(0)
        blocks.append((values - values.mean(0)) / np.where(spread > 0, spread, 1) / np.sqrt(values.shape[1]))
    points = np.concatenate(blocks, axis=1)
    wanted = max(1, min(n_clusters, len(points) // SMALLEST_MEAN))
    return KMeans(min(wanted, len(np.unique(points, axis=0))), n_init=10, random_state=random_state).fit_predict(points)
