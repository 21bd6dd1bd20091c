"""Features whose inner products are nearly a kernel, from the covariance with some crystals, the landmarks.

Nyström's map (Williams and Seeger, NIPS 2000): with ``L L' = K_zz`` of the landmarks z, a crystal x has the features
``L^-1 k_z(x)``, and a function ``w . L^-1 k_z(x)`` is one of the landmarks' kernels with the weights ``L^-T w``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Crystals whose covariances with the landmarks are made at once.
CHUNK = 1024


class NystroemMap:
    """Features of crystals.

    Args:
        factor: Cholesky factor of the covariance of the landmarks ``[m, m]``, double.
        to_landmarks: Embeddings of some crystals ``[n, sum(dims)]`` to their covariance with the landmarks ``[n, m]``.
    """

    def __init__(self, factor: Tensor, to_landmarks: Callable[[Tensor], Tensor]) -> None:
        self.factor, self.to_landmarks = factor, to_landmarks
        identity = torch.eye(len(factor), dtype=factor.dtype)
        self.whitening = torch.linalg.solve_triangular(factor, identity, upper=False).T.float()

    def features(self, embeddings_at: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Features of some rows ``[n]``, made a chunk at a time: ``[n, m]``.

        Args:
            embeddings_at: Some of the rows to their embeddings ``[..., sum(dims)]``.
            rows: Which.
        """
        found = torch.empty(len(rows), len(self.factor))
        for chunk, part in zip(rows.split(CHUNK), found.split(CHUNK), strict=True):
            torch.mm(self.to_landmarks(embeddings_at(chunk)), self.whitening, out=part)
        return found

    def weights_of_landmarks(self, weights: Tensor) -> Tensor:
        """Weights of the features ``[m]`` to those of the landmarks' kernels ``[m]``."""
        solved = torch.linalg.solve_triangular(self.factor.T, weights.double()[:, None], upper=True)
        return solved[:, 0].float()
