"""Vectors that were computed elsewhere, as an encoder: the crystal is looked up by its structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.fingerprint import N_NUMBERS, TOLERANCE, fingerprint
from moe_mat.crystals.training_crystals import formula_hash
from moe_mat.encoders.base import Encoder, Features
from moe_mat.encoders.registry import register_encoder

LAYER = "vector"


@register_encoder("table")
class TableEncoder(Encoder):
    """A table of vectors, one a crystal; there are no atom features.

    The vectors are weights: they lie in a file with a checksum, and stay on the disk until they are looked up.

    Args:
        width: Length of the vectors.
        n_crystals: Number of crystals.

    Attributes:
        formulas: Hashes of the reduced formulas, ascending ``[n_crystals]`` int64, see `formula_hash`.
        fingerprints: ``[n_crystals, N_NUMBERS]``, those of one formula ordered by the first number, see `fingerprint`.
        vectors: ``[n_crystals, width]``, float16 or float32.
    """

    formulas: Tensor
    fingerprints: Tensor
    vectors: Tensor

    def __init__(self, *, width: int, n_crystals: int) -> None:
        super().__init__()
        self.width, self.n_crystals = width, n_crystals
        for name, shape in {"formulas": [], "fingerprints": [N_NUMBERS], "vectors": [width]}.items():
            self.register_buffer(name, torch.empty(n_crystals, *shape, device="meta"))

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return {}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return {LAYER: self.width}

    @property
    def prepare_key(self) -> object:
        """No other table shares its samples, which are its own rows."""
        return id(self)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = True) -> Any:
        """Take the tensors as they are: a copy would read all of the file."""
        return super().load_state_dict(state_dict, strict, assign=True)

    def prepare(self, structure: Structure) -> int:
        """The row of a crystal.

        Raises:
            UnsupportedCrystalError: When the table does not have it; says what is nearest.
        """
        if self.vectors.is_meta:
            raise ValueError("this table has no vectors: its card names no file, import it again")
        formulas, fingerprints = self.formulas.numpy(), self.fingerprints.numpy()
        own = np.array(formula_hash(structure), dtype=np.uint64).view(np.int64)
        first, last = np.searchsorted(formulas, own, "left"), np.searchsorted(formulas, own, "right")
        if first == last:
            raise self._missing(f"has none of the formula {structure.composition.reduced_formula}")
        wanted = fingerprint(structure)
        # Of thousands of one formula, few are near by the first number.
        start, stop = np.searchsorted(fingerprints[first:last, 0], [wanted[0] - TOLERANCE, wanted[0] + TOLERANCE])
        near = slice(first + start, first + stop) if start < stop else slice(first, last)
        differences = np.abs(fingerprints[near] - wanted).max(axis=1)
        best = int(differences.argmin())
        if differences[best] > TOLERANCE:
            raise self._missing(
                f"has {last - first} of the formula {structure.composition.reduced_formula}, and this is none of them "
                f"(the fingerprint of the nearest differs by {differences[best]:.1g}, and may by {TOLERANCE:g})"
            )
        return int(near.start) + best

    def _missing(self, what: str) -> UnsupportedCrystalError:
        return UnsupportedCrystalError(
            f"its table of {self.n_crystals} crystals {what}: compute the vector of this crystal and import the table "
            "again, or leave this crystal or this expert out"
        )

    def collate(self, samples: list[int]) -> Tensor:
        """Rows ``[n_crystals]``."""
        return torch.tensor(samples, dtype=torch.long)

    def forward(self, batch: Tensor) -> Features:
        """Look up vectors."""
        none = torch.zeros(0, dtype=torch.long)
        return Features({}, none, len(batch), {LAYER: self.vectors[batch].float()})
