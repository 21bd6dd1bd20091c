"""What a finished model keeps of its training: what it learned from, and what it predicted of others before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

KEY_BYTES = 16


@dataclass(frozen=True)
class Outcome:
    """Kept in the checkpoint of a finished model.

    Attributes:
        parts: The parts of its data that it has learned from.
        learned: What identifies the structures of these crystals, see `moe_mat.crystals.structures.structure_key`.
        validation: Report on the validation rows, from before the model learned from them too; empty where there is
            none. See `moe_mat.mixture.report.RunReport.to_dict`.
    """

    parts: tuple[str, ...]
    learned: frozenset[bytes]
    validation: Mapping[str, Any]

    def knows(self, keys: Collection[bytes]) -> np.ndarray:
        """Which of some crystals the model has learned from ``[n]``."""
        return np.array([key in self.learned for key in keys], dtype=bool)

    def to_dict(self) -> dict[str, Any]:
        """As tensors and plain data, which a checkpoint may hold."""
        learned = np.frombuffer(b"".join(sorted(self.learned)), dtype=np.uint8).copy()
        return {
            "parts": list(self.parts),
            "learned": torch.from_numpy(learned).reshape(-1, KEY_BYTES),
            "validation": dict(self.validation),
        }

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Outcome:
        """From what `to_dict` returned."""
        learned = frozenset(row.numpy().tobytes() for row in content["learned"])
        return cls(tuple(content["parts"]), learned, content["validation"])
