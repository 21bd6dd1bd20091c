"""A Gaussian process on the gated distance between crystals.

Each gate's squared distance of two crystals is the weighted sum of their distances in each expert's embedding,
``d2_g = sum_e w_ge |z_e - z'_e|^2``, and the covariance is a sum over gates, ``sum_g s_g k(d2_g / l_g)``. Gates,
length scales, signals and noise are learned together by the marginal likelihood (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, eq. 5.8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moe_mat.mixture.distances import nearest, squared_distances
from moe_mat.mixture.growing import GrowingModule
from moe_mat.mixture.heads.standardisation import Standardisation

FARTHEST = 6.0  # standard deviations
# Added to the noise variance of a standardised target, so that duplicates do not make the kernel singular.
JITTER = 1e-4
# Experts below this weight are left out of the mixed embedding: thousands of columns that change nothing.
NEGLIGIBLE = 1e-3


def matern32(squared: Tensor) -> Tensor:
    """Matérn covariance with smoothness 3/2 of squared distances in units of the length scale."""
    r = (3 * squared + 1e-10).sqrt()
    return (1 + r) * (-r).exp()


class Scaling(nn.Module):
    """Standardise each feature, then bring every expert to a mean squared distance of 1 between training crystals.

    Args:
        dims: Widths of the experts' embeddings.
    """

    factor: Tensor

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = list(dims)
        self.standardise = Standardisation(sum(dims), limit=FARTHEST)
        self.register_buffer("factor", torch.ones(len(dims)))

    def fit(self, embeddings: Tensor) -> None:
        """Set the constants from training embeddings ``[n, sum(dims)]``."""
        self.standardise.fit(embeddings)
        self.factor.fill_(1.0)
        variance = torch.stack([part.var(0, correction=0).sum() for part in self(embeddings)])
        self.factor.copy_((2 * variance).clamp_min(1e-12).rsqrt())

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Embeddings side by side ``[n, sum(dims)]`` to one ``[n, dim]`` an expert."""
        scaled = self.standardise(embeddings)
        return [part * factor for part, factor in zip(scaled.split(self.dims, dim=1), self.factor, strict=True)]


class _GaussianLikelihood(torch.autograd.Function):
    """Negative log density of targets under a covariance, up to a constant.

    The gradient ``(K^-1 - a a^T) / 2`` with ``a = K^-1 y`` is written out: one inverse costs half of what
    differentiating through the factorisation does.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, targets: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(covariance.double())
        inverse = torch.cholesky_inverse(factor)
        solved = inverse @ targets.double()
        ctx.save_for_backward((0.5 * (inverse - torch.outer(solved, solved))).to(covariance.dtype))
        return (0.5 * targets.double() @ solved + factor.diagonal().log().sum()).to(covariance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None


class GaussianProcess(GrowingModule):
    """One target on the gated distances.

    Args:
        n_gates: Number of gates, and of terms of the covariance.

    Attributes:
        support: What the mixed embeddings of the support are made of, for whoever makes them ``[n_support, width]``. It
            is kept in their place, because gates that use the same experts would keep them twice.
        weights: How much the support counts ``[n_support]``, where it is not all alike.
        mixed: Each gate's mixed embeddings of the support; `None` after loading, until they are made again.
    """

    support: Tensor
    dual: Tensor
    weights: Tensor | None

    def __init__(self, n_gates: int) -> None:
        super().__init__()
        self.log_inverse_length = nn.Parameter(torch.zeros(n_gates))  # of the squared length scales
        self.log_signal = nn.Parameter(torch.full((n_gates,), -math.log(n_gates)))
        self.log_noise = nn.Parameter(torch.tensor(math.log(0.3)))
        for name in ("support", "dual"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("weights", None)  # which a checkpoint does not have then
        self.mixed: list[Tensor] | None = None
        self._factor: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what is large and can be computed from the rest."""
        return {**self.__dict__, "mixed": None, "_factor": None}

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        self.mixed = self._factor = None
        self.weights = state[f"{prefix}weights"].clone() if f"{prefix}weights" in state else None
        super()._load_from_state_dict(state, prefix, *rest)

    def covariance(self, squared: Sequence[Tensor]) -> Tensor:
        """Covariance of crystals, without noise, from each gate's squared distances ``[n, m]``."""
        terms = zip(squared, self.log_inverse_length, self.log_signal, strict=True)
        return torch.stack([signal.exp() * matern32(d2 * scale.exp()) for d2, scale, signal in terms]).sum(0)

    def covariance_between(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Covariance, without noise, from each gate's mixed embeddings ``[n, width]`` and ``[m, width]``."""
        return self.covariance([squared_distances(x, y) for x, y in zip(a, b, strict=True)])

    def gated(self, mixed: Sequence[Tensor]) -> Tensor:
        """One embedding of crystals ``[n, sum(widths)]``: its distance is that of all gates, in length scales.

        Args:
            mixed: Each gate's mixed embeddings ``[n, width]``.
        """
        factors = (self.log_inverse_length.exp() * self.log_signal.softmax(0)).sqrt()
        return torch.cat([of_gate * factor for of_gate, factor in zip(mixed, factors, strict=True)], dim=1)

    def distances(self, mixed: Sequence[Tensor]) -> Tensor:
        """Distance of crystals to the nearest of the support, in length scales ``[n]``."""
        assert self.mixed is not None
        return nearest(self.gated(mixed), self.gated(self.mixed))

    def to_support(self, mixed: Sequence[Tensor]) -> Tensor:
        """Covariance of crystals with the support ``[n, n_support]``."""
        assert self.mixed is not None
        return self.covariance_between(mixed, self.mixed)

    def negative_log_likelihood(
        self, squared: Sequence[Tensor], targets: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Negative log marginal likelihood per crystal, with weak priors on the scales.

        Args:
            squared: Each gate's squared distances ``[m, m]``.
            targets: Standardised targets ``[m]``.
            weights: Of the crystals ``[m]``, each of which has the noise variance divided by its weight.
        """
        if weights is None:
            noise = (self.log_noise.exp() + JITTER) * torch.eye(len(targets))
        else:
            noise = torch.diag(self.log_noise.exp() / weights + JITTER)
        likelihood = _GaussianLikelihood.apply(self.covariance(squared) + noise, targets)
        prior = 0.5 * ((self.log_inverse_length / 1.5).square().sum() + (self.log_signal / 1.5).square().sum())
        prior = prior + 0.5 * ((self.log_noise + 2) / 2).square()
        return (likelihood + prior) / len(targets)

    def factorise(self, covariance: Tensor, *, noise_factor: float = 1.0, weights: Tensor | None = None) -> Tensor:
        """Cholesky factor, in double precision, of a covariance matrix with so many times the noise.

        Args:
            covariance: Of crystals ``[n, n]``.
            noise_factor: How many times.
            weights: Of the crystals ``[n]``, see `negative_log_likelihood`.
        """
        covariance = covariance.to(torch.double, copy=True)
        noise = noise_factor * self.log_noise.detach().exp().double()
        covariance.diagonal().add_((noise if weights is None else noise / weights.double()) + JITTER)
        return torch.linalg.cholesky(covariance)

    @torch.no_grad()
    def solve(self, mixed: Sequence[Tensor], outputs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Make crystals the support.

        Args:
            mixed: Each gate's mixed embeddings ``[n, width]``.
            outputs: Standardised targets without outliers ``[n]``.
            weights: How much they count ``[n]``.

        Returns:
            Their covariance without noise ``[n, n]``.
        """
        self.mixed, self.weights = list(mixed), weights
        covariance = self.covariance_between(mixed, mixed)
        self._factor = self.factorise(covariance, weights=weights)
        self.dual = torch.cholesky_solve(outputs.double()[:, None], self._factor)[:, 0].float()
        return covariance

    def forward(self, to_support: Tensor) -> Tensor:
        """Standardised means ``[n]`` from the covariance with the support ``[n, n_support]``."""
        return to_support @ self.dual

    @torch.no_grad()
    def std(self, to_support: Tensor) -> Tensor:
        """Standard deviation of a new measurement, standardised ``[n]``: the model's doubt and the noise."""
        if self._factor is None:
            assert self.mixed is not None
            self._factor = self.factorise(self.to_support(self.mixed), weights=self.weights)
        return self.deviation(self._factor, to_support)

    def deviation(self, factor: Tensor, to_support: Tensor) -> Tensor:
        """The same ``[n]`` by any support: the factor of its covariance, and the covariance with it ``[n, m]``."""
        whitened = torch.linalg.solve_triangular(factor, to_support.double().T, upper=False)
        signal, noise = self.log_signal.exp().sum().double(), self.log_noise.exp().double()
        return (signal - whitened.square().sum(0)).clamp_min(0).add(noise).sqrt().float()
