"""What the experts of a run have seen of its crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from moe_mat.audit import FLAGS, Overlap, estimate, find_quantity, rows_left
from moe_mat.audit.quantities import OTHER
from moe_mat.crystals.splits import PARTS
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.zoo.cards import ExpertCard


@dataclass(frozen=True, slots=True)
class SeenBy:
    """What a group of experts that learned the same has seen of the crystals of a run.

    Attributes:
        experts: Their tags.
        weight: The sum of their gate weights.
        sources: What they were trained on, and what was learned from each.
        counts: Of each of `moe_mat.audit.FLAGS` the number of crystals; ``None`` where no crystal of theirs is known.
        possibly: Whether the label may have been learned from crystals that are not known one by one.
    """

    experts: Sequence[str]
    weight: float
    sources: Sequence[str]
    counts: Mapping[str, int] | None
    possibly: bool


@dataclass(frozen=True, slots=True)
class Left:
    """Test rows that remain when those seen are taken away: how many, and the mean error on them."""

    kind: str
    n: int
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was found for one target.

    Attributes:
        quantity: What it measures; ``None`` where its name does not tell.
        n_crystals: Of all parts.
        any_expert: Of each of `moe_mat.audit.FLAGS` the number of crystals that some expert has seen.
        groups: Of experts, those that have training targets, the heaviest first.
        without: Tags of the experts that have none.
        left: Of the test rows.
        flags: Whether a crystal, by structure, was seen ``[n_rows]``.
    """

    quantity: str | None
    n_crystals: int
    any_expert: Mapping[str, int]
    groups: Sequence[SeenBy]
    without: Sequence[str]
    left: Sequence[Left]
    flags: np.ndarray

    @property
    def possibly(self) -> bool:
        """Whether some expert may have learned the label from crystals that are not known one by one."""
        return any(one.possibly for one in self.groups)


def look(
    weights: Mapping[str, float],
    data: CrystalDataModule,
    cards: Sequence[ExpertCard],
    predictions: Mapping[str, pd.DataFrame],
) -> list[Seen]:
    """What experts have seen, estimated without structures, for each target.

    Args:
        weights: Expert tag to gate weight.
        data: Of the run.
        cards: Of the experts.
        predictions: Target to its predictions, with the ``error`` whose mean is told.

    Raises:
        CardError: When a card of a trunk is not there.
        ValueError: When training crystals are damaged.
    """
    matches = estimate(data.crystals, cards)
    counted = np.zeros(len(data.crystals), dtype=bool)
    counted[np.concatenate([data.rows[part].numpy() for part in PARTS])] = True
    found = []
    for target, said in predictions.items():
        quantity = _quantity(target)
        overlaps = matches.overlaps(quantity or OTHER)
        groups = [_seen_by(one, counted, weights) for one in overlaps]
        trained = [one for one in groups if one.sources]
        without = [tag for one in groups if not one.sources for tag in one.experts]
        any_expert = {flag: int((_any(overlaps, flag) & counted).sum()) for flag in FLAGS}
        trained.sort(key=lambda one: -one.weight)
        left = _left(said, overlaps)
        flags = _any(overlaps, "crystal_with_label" if quantity else "crystal")
        found.append(Seen(quantity, int(counted.sum()), any_expert, trained, without, left, flags))
    return found


def _quantity(target: str) -> str | None:
    try:
        return find_quantity(target)
    except ValueError:
        return None


def _any(overlaps: Sequence[Overlap], flag: str) -> np.ndarray:
    return np.any([getattr(one, flag) for one in overlaps], axis=0)


def _seen_by(one: Overlap, counted: np.ndarray, weights: Mapping[str, float]) -> SeenBy:
    exposure = one.exposure
    sources = [f"{known.dataset}: {_words(known.quantities)}" for known in exposure.known]
    sources += [f"{unlisted.source}: {_words(unlisted.quantities) or 'not known'}" for unlisted in exposure.unlisted]
    counts = {flag: int((getattr(one, flag) & counted).sum()) for flag in FLAGS} if exposure.known else None
    weight = sum(weights.get(tag, 0.0) for tag in one.experts)
    return SeenBy(one.experts, weight, sources, counts, one.possibly)


def _words(quantities: Sequence[str]) -> str:
    return ", ".join(one.replace("_", " ") for one in quantities)


def _left(said: pd.DataFrame, overlaps: Sequence[Overlap]) -> list[Left]:
    test = said[said["part"] == "test"]
    if not len(test):
        return []
    errors, rows = test["error"].abs().to_numpy(), test["row"].to_numpy()
    flags_left = rows_left(overlaps)
    kept = {"all": np.ones_like(next(iter(flags_left.values()))), **flags_left}
    means = {kind: errors[flags[rows]] for kind, flags in kept.items()}
    return [Left(kind, len(some), float(some.mean()) if len(some) else np.nan) for kind, some in means.items()]
