"""The Gaussian process of many crystals, by landmarks among them."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_mat.mixture.heads.gaussian_process import JITTER, GaussianProcess


class InducingProcess(GaussianProcess):
    """A `GaussianProcess` whose support is landmarks, and which has learned from many more crystals.

    Mean and variance are those of the deterministic training conditional (Seeger et al., AISTATS 2003).

    Args:
        n_gates: Number of gates, and of terms of the covariance.

    Attributes:
        posterior: Cholesky factor of ``I + X' X / noise`` of all crystals' features X ``[m, m]``; empty before
            `see`.
    """

    posterior: Tensor

    def __init__(self, n_gates: int) -> None:
        super().__init__(n_gates)
        self.register_buffer("posterior", torch.zeros(0, 0))

    @property
    def factor(self) -> Tensor:
        """Cholesky factor of the covariance of the landmarks ``[m, m]``, double."""
        if self._factor is None:
            assert self.mixed is not None
            self._factor = self.factorise(self.to_support(self.mixed), noise_factor=0.0)
        return self._factor

    def place(self, support: Tensor, mixed: list[Tensor]) -> None:
        """Make crystals the landmarks: see `GaussianProcess.support`, and `GaussianProcess.mixed`."""
        self.support, self.mixed, self._factor, self.weights = support, mixed, None, None
        self.dual = self.posterior = torch.zeros(0)

    @torch.no_grad()
    def see(self, gram: Tensor) -> None:
        """Learn how sure to be from the sum of the products of all crystals' features ``[m, m]``, double."""
        matrix = gram / (self.log_noise.detach().exp().double() + JITTER)
        matrix.diagonal().add_(1.0)
        self.posterior = torch.linalg.cholesky(matrix).float()

    @torch.no_grad()
    def std(self, to_support: Tensor) -> Tensor:
        """Standard deviation of a new measurement, standardised ``[n]``: the model's doubt and the noise."""
        if not len(self.posterior):  # the support is all that it has seen
            return super().std(to_support)
        whitened = torch.linalg.solve_triangular(self.factor, to_support.double().T, upper=False)
        known = torch.linalg.solve_triangular(self.posterior.double(), whitened, upper=False)
        signal, noise = self.log_signal.exp().sum().double(), self.log_noise.exp().double()
        doubt = (signal - whitened.square().sum(0)).clamp_min(0) + known.square().sum(0)
        return doubt.add(noise).sqrt().float()
