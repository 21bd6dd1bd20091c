"""What a model calls the crystals that it has learned from: without names, a neighbour is a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from moe_mat.mixture.data import EmbeddingDataModule


@dataclass(frozen=True)
class LearnedCrystals:
    """The crystals of which a model measures how far others are away, kept in its checkpoint.

    Attributes:
        ids: Their names ``[n]``.
        formulas: Their reduced formulas ``[n]``; empty where they are not known.
        targets: Their values, in the targets' units ``[n, n_targets]``; NaN where there is none.
        rows: Of each target, which of them the head keeps, in its order ``[n_kept]``: those with a value, or landmarks.
    """

    ids: Sequence[str]
    formulas: Sequence[str]
    targets: Tensor
    rows: Sequence[Tensor]

    @classmethod
    def of(cls, data: EmbeddingDataModule, parts: Sequence[str], rows: Sequence[Tensor]) -> LearnedCrystals:
        """Those of some parts of the data, one part after the other."""
        chosen = torch.cat([data.rows[part] for part in parts])
        formulas = [data.formulas[row] for row in chosen.tolist()] if data.formulas else []
        return cls([data.ids[row] for row in chosen.tolist()], formulas, data.targets[chosen], rows)

    @classmethod
    def union(cls, several: Sequence[LearnedCrystals]) -> tuple[LearnedCrystals, list[list[Tensor]]]:
        """All that some models have learned from, and which of these the head of each keeps, for each target."""
        if len(several) == 1:
            return several[0], [list(several[0].rows)]
        places = {name: row for row, name in enumerate(dict.fromkeys(name for one in several for name in one.ids))}
        targets, formulas = torch.empty(len(places), several[0].targets.shape[1]), [""] * len(places)
        kept = []
        for one in several:
            where = torch.tensor([places[name] for name in one.ids])
            targets[where] = one.targets
            for row, formula in zip(where.tolist(), one.formulas, strict=bool(one.formulas)):
                formulas[row] = formula
            kept.append([where[rows] for rows in one.rows])
        return cls(list(places), formulas if any(formulas) else [], targets, []), kept

    def to_dict(self) -> dict[str, Any]:
        """As tensors and plain data, which a checkpoint may hold."""
        return {
            "ids": list(self.ids),
            "formulas": list(self.formulas),
            "targets": self.targets,
            "rows": list(self.rows),
        }

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> LearnedCrystals:
        """From what `to_dict` returned."""
        return cls(**content)
