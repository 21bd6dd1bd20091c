"""Composition: which modules of a hub suit a task, found on its training crystals by adaptive module composition."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from moe_mat.crystals.structures import crystals_from_objects
from moe_mat.files.documents import read_yaml
from moe_mat.files.whole import write_text
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.moma.amc import amc_weights, loo_knn_predictions
from moe_mat.moma.settings import CompositionSettings
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.find import find_cards


@dataclass(frozen=True)
class Composition:
    """What adaptive module composition found; as a card, a YAML file of the same fields.

    Attributes:
        weights: Tag of each module to its weight; they sum to 1.
        proxy_errors: Tag to the module's mean squared error in the leave-one-out test, in units of the variance of the
            transformed target: 1 is no better than the mean.
        error: The same of the weighted predictions, which the weights minimise.
        rows: Number of crystals that it was found on.
        seconds: That it took, embedding included.
        settings: That it was found with.
        digests: Tag to the digest of the module.
    """

    weights: dict[str, float]
    proxy_errors: dict[str, float]
    error: float
    rows: int
    seconds: float
    settings: CompositionSettings
    digests: dict[str, str]

    @property
    def selected(self) -> list[str]:
        """Tags of the modules with a weight, the largest first."""
        tags = [tag for tag, weight in self.weights.items() if weight > 0]
        return sorted(tags, key=lambda tag: -self.weights[tag])

    def write(self, path: Path) -> None:
        """Write the card."""
        write_text(path, yaml.safe_dump(asdict(self), sort_keys=False))

    @classmethod
    def read(cls, path: str | Path) -> Composition:
        """Read a card.

        Raises:
            ValueError: When the file is missing or is none; names it.
        """
        names = {field.name for field in fields(cls)}
        content = read_yaml(Path(path), what="composition")
        if not isinstance(content, dict) or set(content) != names:
            raise ValueError(f"{path} is no composition: it has not the fields {', '.join(sorted(names))}")
        try:
            settings = CompositionSettings(**content["settings"])
        except TypeError as error:
            raise ValueError(f"{path} is no composition: its settings are {content['settings']}") from error
        return cls(**{**content, "settings": settings})


def compose(
    modules: str | Sequence[str],
    structures: Sequence[Structure],
    y: ArrayLike,
    *,
    settings: CompositionSettings = CompositionSettings(),
) -> Composition:
    """Weigh modules for a task.

    Each module predicts each training crystal from its neighbours among the others, see
    `moe_mat.moma.amc.loo_knn_predictions`; the weights are the convex ones whose weighted predictions are best, see
    `moe_mat.moma.amc.amc_weights`. All crystals that are given are used; validation and test crystals should not be
    among them.

    Args:
        modules: Tags, patterns, folders or card files. Any experts will do; only modules of one backbone can be merged.
        structures: Training crystals, pymatgen or ASE.
        y: Their targets ``[n]``.
        settings: How they are tried, and what the weights are to be.

    Raises:
        CardError: When a name finds no module.
        CrystalError: When a crystal cannot be used; names its position.
        ValueError: When lengths differ, or a target is missing or infinite.
    """
    start = time.perf_counter()
    cards = find_cards(modules)
    crystals = [crystal.structure for crystal in crystals_from_objects(list(structures))]
    with EmbeddingCache() as cache:
        embedded = embed(cards, crystals, cache=cache)
    embedded.require_all(crystals)
    return compose_embedded(cards, embedded.values, y, settings=settings, start=start)


def compose_embedded(
    cards: Sequence[ExpertCard],
    embeddings: Mapping[str, np.ndarray],
    y: ArrayLike,
    *,
    settings: CompositionSettings,
    start: float,
) -> Composition:
    """As `compose`, of crystals that have been embedded.

    Args:
        cards: The modules.
        embeddings: Tag to ``[n, dim]``.
        y: Targets ``[n]``.
        settings: As for `compose`.
        start: When the clock of ``seconds`` started, by ``time.perf_counter``.
    """
    targets = torch.as_tensor(np.asarray(y, dtype=np.float64))
    if targets.ndim != 1 or not len(targets) or not bool(targets.isfinite().all()):
        raise ValueError(f"targets of shape {tuple(targets.shape)}: compose needs one finite number for each crystal")
    learned = TargetTransform(settings.transform, ["target"])
    learned.fit(targets[:, None])
    outputs = learned.without_outliers_of(learned(targets[:, None])[:, 0], 0).numpy()
    # In the order of their tags, so that the result does not depend on the order in which they are named.
    cards = sorted(cards, key=lambda card: card.tag)
    # Crystals that are the same to every module are copies: none of them may tell the label of another.
    seen: dict[bytes, int] = {}
    rows = zip(*(embeddings[card.tag] for card in cards), strict=True)
    groups = [seen.setdefault(b"".join(part.tobytes() for part in row), len(seen)) for row in rows]
    predictions = np.stack(
        [
            loo_knn_predictions(
                embeddings[card.tag], outputs, groups=groups, k=settings.k, temperature=settings.temperature
            )
            for card in cards
        ],
        axis=1,
    )
    weights = amc_weights(predictions, outputs, entropy=settings.entropy, sparsity=settings.sparsity)
    scale = float(outputs.var()) or 1.0
    tags = [card.tag for card in cards]
    errors = [float(np.mean((column - outputs) ** 2)) / scale for column in predictions.T]
    return Composition(
        weights=dict(zip(tags, weights.tolist(), strict=True)),
        proxy_errors=dict(zip(tags, errors, strict=True)),
        error=float(np.mean((predictions @ weights - outputs) ** 2)) / scale,
        rows=len(outputs),
        seconds=round(time.perf_counter() - start, 3),
        settings=settings,
        digests={card.tag: card.digest for card in cards},
    )
