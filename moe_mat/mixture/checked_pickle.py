"""Pickles of trained models that know when they are damaged."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

from moe_mat.mixture.checkpoints import DIGEST, content_digest
from moe_mat.zoo.weights import WeightsError


class CheckedPickle(BaseEstimator):
    """An estimator whose pickle holds a digest of its weights, which is compared when it is loaded.

    Raises:
        WeightsError: When loading a pickle in which they differ.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), DIGEST: self._digest()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        noted = state.get(DIGEST)
        super().__setstate__({name: value for name, value in state.items() if name != DIGEST})
        if noted != self._digest():
            raise WeightsError(
                f"this {type(self).__name__} is not as it was pickled: the file is damaged; restore it, or fit again"
            )

    def _digest(self) -> str:
        return content_digest(self.members_.state_dict() if hasattr(self, "members_") else {})
