"""The best of any number of candidates, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moe_mat.suggest.goals import Numbers

# Candidates that a batch is chosen from; all of them where there are not more.
SIZE = 2000


@dataclass(frozen=True)
class Candidates:
    """Some candidates.

    Attributes:
        ids: Their names, or rows ``[m]``.
        formulas: ``[m]``.
        keys: What identifies their structures, see `moe_mat.crystals.structures.structure_key` ``[m]``.
        numbers: What is said of each of them, by name ``[m]``; what they are ranked by among them.
        mixed: Their mixed embeddings ``[m, width]``.
    """

    ids: Sequence[str | int]
    formulas: Sequence[str]
    keys: Sequence[bytes]
    numbers: dict[str, np.ndarray]
    mixed: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def some(self, rows: Sequence[int] | np.ndarray) -> Candidates:
        """Those of some rows."""
        listed = [int(row) for row in rows]
        return Candidates(
            [self.ids[row] for row in listed],
            [self.formulas[row] for row in listed],
            [self.keys[row] for row in listed],
            {name: values[listed] for name, values in self.numbers.items()},
            self.mixed[listed],
        )

    def joined(self, others: Candidates) -> Candidates:
        """These, and others after them."""
        numbers = {name: np.concatenate([values, others.numbers[name]]) for name, values in self.numbers.items()}
        return Candidates(
            [*self.ids, *others.ids],
            [*self.formulas, *others.formulas],
            [*self.keys, *others.keys],
            numbers,
            torch.cat([self.mixed, others.mixed]),
        )


class Pool:
    """Keeps the candidates of the largest values.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.candidates: Candidates | None = None
        self._values = np.empty(0)

    def offer(self, candidates: Candidates, values: Numbers) -> None:
        """Take in some candidates ``[m]`` with their values ``[m]``; of the same crystal, the first."""
        known = set() if self.candidates is None else set(self.candidates.keys)
        rows = []
        for row in np.argsort(-values, kind="stable")[: self.size]:
            if candidates.keys[row] not in known:
                known.add(candidates.keys[row])
                rows.append(int(row))
        if len(self._values) == self.size:
            rows = [row for row in rows if values[row] > self._values.min()]
        if not rows:
            return
        some = candidates.some(sorted(rows))
        joined = some if self.candidates is None else self.candidates.joined(some)
        all_values = np.concatenate([self._values, values[sorted(rows)]])
        kept = np.sort(np.argsort(-all_values, kind="stable")[: self.size])
        self.candidates, self._values = joined.some(kept), all_values[kept]
