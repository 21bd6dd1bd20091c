"""Heads: from the mixed embedding to the targets, and what they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

# Elementwise, because missing targets are masked before the mean is taken.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda outputs, targets: F.mse_loss(outputs, targets, reduction="none"),
    "mae": lambda outputs, targets: F.l1_loss(outputs, targets, reduction="none"),
    "huber": lambda outputs, targets: F.huber_loss(outputs, targets, reduction="none"),
}


def masked_loss(kind: str, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean loss over the targets that have a value; 0 where none has one.

    Args:
        kind: ``"mse"``, ``"mae"`` or ``"huber"``.
        outputs: ``[n, n_targets]``.
        targets: ``[n, n_targets]``; NaN means no value.
        weights: Factors of the crystals' losses ``[n]``, with the mean 1 over the training.

    Raises:
        ValueError: When the loss is unknown.
    """
    if kind not in LOSSES:
        raise ValueError(f"unknown loss {kind!r}; known: {', '.join(LOSSES)}")
    present = targets.isfinite()
    losses = LOSSES[kind](outputs[present], targets[present])
    if weights is not None:
        losses = losses * weights[:, None].expand_as(targets)[present]
    return losses.sum() / present.sum().clamp_min(1)


def mlp(
    n_inputs: int, n_targets: int, *, hidden: Sequence[int], activation: str, dropout: float = 0.0
) -> nn.Sequential:
    """A multilayer perceptron ``[n, n_inputs] -> [n, n_targets]``.

    Args:
        n_inputs: Width of the mixed embedding.
        n_targets: Number of targets.
        hidden: Widths of the hidden layers; empty for a linear head.
        activation: A name in `ACTIVATIONS`.
        dropout: Probability after each hidden layer.

    Raises:
        ValueError: When the activation is unknown.

    Example:
        >>> mlp(64, 1, hidden=[32], activation="softplus")
        Sequential(
          (0): Linear(in_features=64, out_features=32, bias=True)
          (1): Softplus(beta=1.0, threshold=20.0)
          (2): Linear(in_features=32, out_features=1, bias=True)
        )
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    layers: list[nn.Module] = []
    width = n_inputs
    for size in hidden:
        layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, n_targets))
