"""Candidates are gone through, some at a time, and the best of them suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.structures import structure_key
from moe_mat.mixture.calibrated import Calibrated
from moe_mat.mixture.class_report import class_kinds
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.report import PREDICTED_OF_TARGET, told_columns
from moe_mat.suggest.choice import Wanted, choose
from moe_mat.suggest.constraints import Constraints
from moe_mat.suggest.goals import Numbers, value_of
from moe_mat.suggest.measured import Measured
from moe_mat.suggest.of_classes import worth_of_classes
from moe_mat.suggest.pool import SIZE, Candidates, Pool


class Screening:
    """Takes candidates in, and says which of them to measure next.

    Args:
        wanted: What is to be suggested.
        constraints: What a candidate must fulfil.
        measured: Crystals whose values are known.
        model: That speaks of the candidates.
        column: Of the target.
        level: Of the intervals.
        seed: Of Thompson sampling.

    Attributes:
        considered: Number of candidates that were ranked.
        known: Names, or rows, of candidates that are measured already.
        excluded: Why candidates must not be suggested, and how many.

    Raises:
        ValueError: When no measured crystal has a value.
    """

    def __init__(
        self,
        wanted: Wanted,
        constraints: Constraints,
        measured: Measured,
        model: Calibrated,
        *,
        column: int = 0,
        level: float,
        seed: int = 0,
    ) -> None:
        self.wanted, self.constraints, self.measured, self.model = wanted, constraints, measured, model
        self.column, self.level, self.seed = column, level, seed
        values = measured.values(column)
        if wanted.goal.needs_values and not len(values):
            raise ValueError("no measured crystal has a value of the target: there is nothing to improve on")
        self.bar = wanted.bar(values)
        self.considered, self.known, self.excluded = 0, list[str | int](), dict[str, int]()
        self._pool = Pool(max(SIZE, 2 * wanted.n))
        self._value = value_of(wanted.goal, wanted.acquisition, self.bar)

    def admits(self, name: str | int, structure: Structure) -> bool:
        """Whether a candidate may be suggested; noted where it may not."""
        if (problem := self.constraints.problem(structure)) is not None:
            self.excluded[problem] = self.excluded.get(problem, 0) + 1
        elif structure in self.measured:
            self.known.append(name)
        else:
            return True
        return False

    def consider(
        self,
        names: Sequence[str | int],
        structures: Sequence[Structure],
        said: Said,
        mixed: Tensor,
    ) -> None:
        """Rank some candidates.

        Args:
            names: Of the candidates ``[m]``.
            structures: The candidates ``[m]``.
            said: What the model says of them.
            mixed: Their mixed embeddings ``[m, width]``.

        Raises:
            ValueError: When the model does not know its errors.
        """
        numbers = told_columns(self.model, said, self.column, self.level)
        if self.model.classes:
            numbers[WORTH] = worth_of_classes(self.wanted.goal, self.model, said)
        mean, std = _mean_and_std(numbers)
        if not np.isfinite(std).all():
            raise ValueError("the model does not know its errors: fewer than five crystals were held out; fit on more")
        formulas = [one.composition.element_composition.reduced_formula for one in structures]
        keys = [structure_key(one) for one in structures]
        self._pool.offer(Candidates(names, formulas, keys, numbers, mixed), self._value(mean, std))
        self.considered += len(names)

    def table(self, name: str = "material_id", prefix: str = "") -> pd.DataFrame:
        """The suggestions, a row each.

        Args:
            name: Of the column of names.
            prefix: Of the columns about the target.

        Returns:
            ``rank``, the name, ``formula``, and of the target what `told_columns` gives; ``acquisition`` is what the
            crystal was chosen by, in the target's unit, or of classes a probability, or the entropy in units of that of
            an even guess. ``attrs`` has `considered`, `known` and `excluded`.
        """
        table = pd.DataFrame(self._chosen(name, prefix))
        table.attrs = {
            "considered": self.considered,
            "known": list(self.known),
            "excluded": dict(self.excluded),
        }
        return table

    def _chosen(self, name: str, prefix: str) -> dict[str, object]:
        told = class_kinds(self.model.classes) if self.model.classes else PREDICTED_OF_TARGET
        found = self._pool.candidates
        if found is None:
            return {column: [] for column in ("rank", name, "formula", *(prefix + one for one in told), "acquisition")}
        random = np.random.default_rng(self.seed)
        rows, worth = choose(self.wanted, *_mean_and_std(found.numbers), found.mixed, bar=self.bar, random=random)
        chosen = found.some(rows)
        return {
            "rank": np.arange(1, len(rows) + 1),
            name: chosen.ids,
            "formula": chosen.formulas,
            **{prefix + one: chosen.numbers[one] for one in told},
            "acquisition": worth,
        }


WORTH = "worth"
"""What `worth_of_classes` gives, among the numbers of a candidate."""


def _mean_and_std(numbers: Mapping[str, np.ndarray]) -> tuple[Numbers, Numbers]:
    """What candidates are ranked by ``[n]``: of classes there is no mean, and their worth in place of a deviation."""
    if WORTH in numbers:
        return np.zeros(len(numbers[WORTH])), numbers[WORTH]
    return numbers["predicted"].astype(float), numbers["std"].astype(float)
