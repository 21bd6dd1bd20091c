"""What is told of predictions, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why crystals are predicted as they are. Numbers that are not known, or do not apply, are NaN; `notes` say why.

    Attributes:
        crystals: A row a crystal: ``material_id``, ``formula``, ``in_sample`` (whether the model has learned from it),
            ``composition_beyond`` (from 0 to 1, how far its composition is beyond those of the training), and of each
            target, with its name before them, ``_predicted``, ``_std``, ``_lower`` and ``_upper`` in its unit,
            ``_percentile`` and ``_outside``, see `moe_mat.MoERegressor.domain`. Of a class ``_predicted`` is its name,
            and in place of deviation and bounds are the probabilities, ``_p_`` and the name of each class.
        neighbours: A row for each of a crystal's nearest crystals of the training: ``material_id``, ``target``,
            ``rank`` from 1, and its ``neighbour``, ``formula``, ``value`` (in the target's unit, or a class) and
            ``distance``.
        experts: A row for each expert that counts: ``material_id``, ``target``, ``expert``, ``gate_weight``, and its
            share of the squared distance to the nearest neighbour (``share_of_nearest``; one at no distance is passed
            over) and to all that are listed (``share``, the mean).
        networks: A row for each source property that a network among the experts predicts: ``material_id``,
            ``expert``, ``source``, ``property``, ``value`` and ``usual_error`` in ``unit``.
        seen: A row for each expert: ``material_id``, ``target``, ``expert``, what it ``learned``, and whether from
            the same crystal or one of its formula, see `moe_mat.explain.seen_by_experts`.
        targets: Names of the targets.
        level: Of the intervals of numbers.
        notes: What must be known to read the tables, and what does not apply to this model.
    """

    crystals: pd.DataFrame
    neighbours: pd.DataFrame
    experts: pd.DataFrame
    networks: pd.DataFrame
    seen: pd.DataFrame
    targets: tuple[str, ...]
    level: float
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name."""
        return {name: getattr(self, name) for name in TABLES}

    def of(self, material_id: str) -> Explanation:
        """Of one crystal alone."""
        rows: dict[str, Any] = {name: table[table["material_id"] == material_id] for name, table in self.tables.items()}
        return replace(self, **{name: table.reset_index(drop=True) for name, table in rows.items()})

    @classmethod
    def joined(cls, several: Sequence[Explanation]) -> Explanation:
        """Of several lists of crystals by one model, one after the other."""
        parts = [one.tables for one in several]
        tables: dict[str, Any] = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in TABLES}
        return replace(several[0], **tables, notes=tuple(dict.fromkeys(note for one in several for note in one.notes)))


TABLES = tuple(one.name for one in fields(Explanation) if one.name not in ("targets", "level", "notes"))
