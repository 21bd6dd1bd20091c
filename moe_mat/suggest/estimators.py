"""What estimators that say what to measure next share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pandas as pd
from numpy.random import RandomState
from pymatgen.core import Structure

from moe_mat.crystals.given import Crystals
from moe_mat.encoders import Device
from moe_mat.mixture.batch import AT_ONCE, Batch
from moe_mat.mixture.labelled import given_structures
from moe_mat.mixture.members import Members
from moe_mat.suggest.choice import Wanted
from moe_mat.suggest.constraints import Constraints
from moe_mat.suggest.measured import Measured
from moe_mat.suggest.screening import Screening


class SuggestsCrystals(ABC):
    """An estimator of crystals that keeps those of its training, with their values."""

    members_: Members
    device: Device
    random_state: int | RandomState | None
    _measured: Measured

    @abstractmethod
    def _embed(self, X: Sequence[Structure]) -> Batch:
        """Embeddings of crystals."""

    def _suggested(
        self, X: Crystals, wanted: Wanted, constraints: Constraints, *, column: int, level: float
    ) -> pd.DataFrame:
        """The suggestions among some candidates, see `Screening.table`."""
        seed = self.random_state if isinstance(self.random_state, int) else 0
        screening = Screening(wanted, constraints, self._measured, self.members_, column=column, level=level, seed=seed)
        structures = given_structures(X)
        rows = [row for row, one in enumerate(structures) if screening.admits(row, one)]
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            candidates = [structures[row] for row in some]
            embedded = self._embed(candidates)
            mixed = self.members_.embed(embedded, self.device)
            screening.consider(some, candidates, self.members_.say(embedded, self.device), mixed)
        return screening.table("row")
