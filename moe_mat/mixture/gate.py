"""The gate: how much each expert counts. Weights are never negative and sum to 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def top_k_softmax(logits: Tensor, *, top_k: int | None = None, temperature: float = 1.0) -> Tensor:
    """Softmax over the ``top_k`` largest logits of the last dimension; the others get weight 0.

    The gradient is that of the full softmax (straight-through), so that an expert outside the top k can come back.

    Args:
        logits: ``[..., n_experts]``.
        top_k: Number of experts with a weight; ``None`` for all.
        temperature: Above 1 the weights are more even, below 1 more decided.

    Example:
        >>> top_k_softmax(torch.tensor([0.0, 0.0, -1.0]), top_k=2)
        tensor([0.5000, 0.5000, 0.0000])
    """
    scaled = logits / temperature
    weights = scaled.softmax(-1)
    if top_k is None or top_k >= logits.shape[-1]:
        return weights
    chosen = torch.full_like(scaled, -torch.inf).scatter(-1, scaled.topk(top_k).indices, 0.0)
    sparse = (scaled + chosen).softmax(-1)
    return sparse.detach() + weights - weights.detach() if weights.requires_grad else sparse


def orthogonality(weights: Tensor) -> Tensor:
    """Penalty on gates that choose alike: ``||S^T S - I||_F^2`` of the weights S (Chang et al. 2022).

    Args:
        weights: ``[..., n_gates, n_experts]``; leading dimensions are averaged.
    """
    overlap = weights @ weights.mT
    return (overlap - torch.eye(overlap.shape[-1], device=weights.device)).square().sum((-2, -1)).mean()


def imbalance(weights: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' mean weights (Shazeer et al., ICLR 2017): 0 when all are alike.

    Args:
        weights: ``[..., n_experts]``; leading dimensions are averaged before the comparison.
    """
    use = weights.flatten(0, -2).mean(0)
    return use.var(correction=0) / use.mean().square()


class Gate(nn.Module):
    """One weight an expert and gate, the same for all crystals.

    Args:
        n_experts: Number of experts.
        n_gates: Number of gates; their mixtures are concatenated.
        top_k: Number of experts that each gate uses; ``None`` for all.
        temperature: Of the softmax.
    """

    def __init__(self, n_experts: int, *, n_gates: int = 1, top_k: int | None = None, temperature: float = 1.0) -> None:
        super().__init__()
        if not n_gates >= 1:
            raise ValueError(f"n_gates is {n_gates}: use at least 1")
        if top_k is not None and not top_k >= 1:
            raise ValueError(f"top_k is {top_k}: use at least 1, or null for all experts")
        if not temperature > 0:
            raise ValueError(f"the temperature is {temperature}: use a positive number, 1 for the plain softmax")
        self.top_k = top_k
        self.temperature = temperature
        # Small random numbers: equal logits would leave the first top k to the order of the experts,
        # and equal gates would never part.
        self.logits = nn.Parameter(0.01 * torch.randn(n_gates, n_experts))

    def forward(self, projected: Tensor) -> Tensor:
        """Projected embeddings ``[batch, n_experts, width]`` to weights ``[batch, n_gates, n_experts]``."""
        weights = top_k_softmax(self.logits, top_k=self.top_k, temperature=self.temperature)
        return weights.expand(len(projected), -1, -1)

    @torch.no_grad()
    def start_at(self, weights: Tensor, *, frozen: bool = False) -> None:
        """Begin with given weights, the same in every gate.

        Args:
            weights: ``[n_experts]``, not negative; they are brought to the sum 1.
            frozen: Keep them. Otherwise each expert gets at least a tenth of an equal share, because the softmax gives
                one without a weight no gradient by which it could come back.
        """
        weights = weights.to(self.logits) / weights.sum()
        if frozen:
            self.logits.copy_(self.temperature * weights.clamp_min(1e-12).log())
            self.logits.requires_grad_(False)
        else:
            weights = torch.lerp(torch.full_like(weights, 1 / len(weights)), weights, 0.9)
            self.logits.add_(self.temperature * weights.log())  # to the small random numbers, by which gates part

    def chosen(self) -> list[int]:
        """Indices of the experts that can have a weight at present."""
        top = self.logits.topk(min(self.top_k or self.logits.shape[1], self.logits.shape[1])).indices
        return sorted(set(top.flatten().tolist()))


class CrystalGate(Gate):
    """Weights that depend on the crystal: the global logits plus a linear function of its projected embeddings.

    It starts as a global gate, and departs from it as far as the data ask for it.

    Args:
        n_experts: Number of experts.
        width: Common width of the projected embeddings.
        n_gates: Number of gates; their mixtures are concatenated.
        top_k: Number of experts that each gate uses; ``None`` for all.
        temperature: Of the softmax.
    """

    def __init__(
        self, n_experts: int, width: int, *, n_gates: int = 1, top_k: int | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__(n_experts, n_gates=n_gates, top_k=top_k, temperature=temperature)
        self.of_crystal = nn.Linear(n_experts * width, n_gates * n_experts, bias=False)
        nn.init.zeros_(self.of_crystal.weight)

    def chosen(self) -> list[int]:
        """All experts: each crystal makes its own choice."""
        return list(range(self.logits.shape[1]))

    def forward(self, projected: Tensor) -> Tensor:  # noqa: D102
        shift = self.of_crystal(projected.flatten(1)).view(len(projected), *self.logits.shape)
        return top_k_softmax(self.logits + shift, top_k=self.top_k, temperature=self.temperature)


def build_gate(
    kind: str, n_experts: int, width: int, *, n_gates: int = 1, top_k: int | None = None, temperature: float = 1.0
) -> Gate:
    """The gate of a name: ``"global"`` or ``"crystal"``.

    Raises:
        ValueError: When there is no such gate.
    """
    makers: dict[str, Callable[[], Gate]] = {
        "global": lambda: Gate(n_experts, n_gates=n_gates, top_k=top_k, temperature=temperature),
        "crystal": lambda: CrystalGate(n_experts, width, n_gates=n_gates, top_k=top_k, temperature=temperature),
    }
    if kind not in makers:
        raise ValueError(f"unknown gate {kind!r}; known: {', '.join(makers)}")
    return makers[kind]()


def mix(weights: Tensor, projected: Tensor) -> Tensor:
    """Weighted sums of the experts' embeddings, the gates side by side.

    Args:
        weights: ``[batch, n_gates, n_experts]``.
        projected: ``[batch, n_experts, width]``.

    Returns:
        ``[batch, n_gates * width]``.
    """
    return (weights @ projected).flatten(1)
