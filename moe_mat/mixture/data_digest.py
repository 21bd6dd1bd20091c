"""What identifies the data of a run: a checkpoint goes on with the data it began with, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DataDigest:
    """Digests of crystals, targets and split.

    Attributes:
        crystals: Of names and structures, in their order.
        targets: Of all values.
        split: Of the rows of each part.
        rows: Number of rows of each part.
        weights: Of all weights; ``None`` where crystals count alike.
    """

    crystals: str
    targets: str
    split: str
    rows: Mapping[str, int]
    weights: str | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        keys: Sequence[bytes],
        targets: Tensor,
        rows: Mapping[str, Tensor],
        weights: Tensor | None = None,
    ) -> DataDigest:
        """Digest some data.

        Args:
            ids: Names of the crystals.
            keys: Their structures, see `moe_mat.crystals.structures.structure_key`; empty where they are not known.
            targets: ``[n, n_targets]``.
            rows: Row numbers of each part.
            weights: Of all crystals ``[n]``.
        """
        return cls(
            _digest([*(name.encode() for name in ids), *keys]),
            _digest([str(tuple(targets.shape)).encode(), targets.contiguous().numpy().tobytes()]),
            _digest([part for name, of in rows.items() for part in (name.encode(), of.long().numpy().tobytes())]),
            {part: len(of) for part, of in rows.items()},
            None if weights is None else _digest([weights.numpy().tobytes()]),
        )

    def difference(self, other: DataDigest, *, weights: bool = False) -> str | None:
        """In what others differ, in words; ``None`` where they do not.

        Args:
            other: The others.
            weights: Whether these count as well; errors on the same rows do not depend on them.
        """
        if sum(self.rows.values()) != sum(other.rows.values()):
            return f"other crystals ({sum(self.rows.values())}, and these are {sum(other.rows.values())})"
        for name, words in (("crystals", "other crystals"), ("targets", "other targets"), ("split", "another split")):
            if getattr(self, name) != getattr(other, name):
                return words
        return "other weights" if weights and self.weights != other.weights else None


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()
