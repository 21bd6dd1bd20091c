"""The method that explains, for estimators of `moe_mat`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.given import Crystals
from moe_mat.explain.account import Explanation
from moe_mat.explain.explainer import Explainer
from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.labelled import named_structures
from moe_mat.mixture.settings import DEFAULT_LEVEL


class ExplainsCrystals:
    """An estimator with members that explains its predictions."""

    def explain(
        self: Any,
        X: Crystals,
        *,
        neighbours: int = 5,
        interval: float = DEFAULT_LEVEL,
        quantity: str | None = None,
        sources: str | Path | None = None,
    ) -> Explanation:
        """Tell why crystals are predicted as they are.

        Args:
            X: As in `predict`. Crystals are called by their ``material_id`` or index in pandas, else by their number;
                those of the training as they were in ``fit``.
            neighbours: How many of the nearest crystals of the training are shown.
            interval: Level of the intervals of numbers.
            quantity: What the target measures, such as ``band_gap``; by default known by its name, see docs/audit.md.
            sources: Folder of the files that experts were trained on, to compare structures; by default ``pretrain`` in
                the folder of ``MOE_MAT_DATA``, and without them the same crystal is estimated from cell and volume.

        Returns:
            Tables as DataFrames, see `moe_mat.explain.Explanation` and docs/explain.md. Classes are called by the text
            of their labels.

        Raises:
            ValueError: When a number or the quantity makes no sense.
        """
        check_is_fitted(self)
        structures, ids = named_structures(X)
        members = list(self.members_)
        explainer = Explainer(members, self.members_, neighbours=neighbours, level=interval, device=self.device)
        folder = None if sources is None else Path(sources)
        told = explainer.explain(_parts(self._embed(structures), structures, ids), quantity=quantity, sources=folder)
        called = getattr(self, "_names", None)
        if called is None:
            return told
        neighbour = told.neighbours.assign(neighbour=told.neighbours["neighbour"].map(lambda row: called.get(row, row)))
        return replace(told, neighbours=neighbour)

    def _note_names(self, names: Sequence[str]) -> None:
        """Remember what the crystals of the training are called; the data module knows them by their numbers."""
        self._names = {str(row): name for row, name in enumerate(names) if name != str(row)}


def _parts(
    batch: Batch, structures: Sequence[Structure], ids: Sequence[str]
) -> Iterator[tuple[Batch, list[Structure]]]:
    """Named crystals, as many as a model sees at once."""
    rest = iter(structures)
    for part in replace(batch, ids=ids).parts(AT_ONCE):
        yield part, list(islice(rest, len(part.ids)))
