"""Many small heads at once, each on the frozen embedding of one expert: one product serves them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Heads(nn.Module):
    """Independent three-layer perceptrons with softplus, side by side: ``[n_heads, n, width] -> [n_heads, n]``."""

    def __init__(self, dims: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        sizes = [max(dims), *hidden, 1]
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            weight = torch.zeros(len(dims), fan_in, fan_out)
            bias = torch.zeros(len(dims), 1, fan_out)
            for head, dim in enumerate(dims):
                # As nn.Linear does; a narrow embedding is padded with zeros, which take no weight and no gradient.
                width = dim if i == 0 else fan_in
                nn.init.uniform_(weight[head, :width], -(width**-0.5), width**-0.5)
                nn.init.uniform_(bias[head], -(width**-0.5), width**-0.5)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))

    def forward(self, values: Tensor) -> Tensor:
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, values, weight)
            if i < last:
                values = F.softplus(values)
        return values[:, :, 0]


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """How heads are trained.

    Attributes:
        hidden: widths of the hidden layers.
        learning_rate: at the start.
        batch_size: crystals in a batch.
        max_epochs: length of the schedule.
        patience: epochs without a better validation MAE of any head after which training stops.
    """

    hidden: Sequence[int] = (32, 32)
    learning_rate: float = 0.01
    batch_size: int = 250
    max_epochs: int = 1000
    patience: int = 500


def train_heads(
    train: Sequence[np.ndarray],
    val: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    *,
    y: np.ndarray,
    y_val: np.ndarray,
    seed: int,
    settings: HeadSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train one head on each embedding, and keep each head's best epoch on the validation rows.

    Adam, squared error of the standardised target, cosine schedule (Chang et al. 2022). The heads share nothing but the
    order of the batches.

    Args:
        train: embeddings of the training crystals ``[n, dim]``, one an expert.
        val: of the validation crystals.
        test: of the test crystals.
        y: training targets ``[n]``.
        y_val: validation targets.
        seed: of weights and batches.
        settings: of the training.

    Returns:
        Best validation MAE of each head ``[n_heads]``, and its predictions of the validation and the test crystals
        ``[n_heads, n]``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = _Heads([values.shape[1] for values in train], settings.hidden)
        means, stds = [v.mean(0) for v in train], [v.std(0) + 1e-6 for v in train]
        x, x_val, x_test = (_stacked(part, means, stds, width=heads.weights[0].shape[1]) for part in (train, val, test))
        mean, std = float(y.mean()), float(y.std()) or 1.0
        target = torch.tensor((y - mean) / std, dtype=torch.float32)
        optimizer = torch.optim.Adam(heads.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.max_epochs)
        best = np.full(len(train), np.inf)
        kept = [np.zeros((len(train), part.shape[1])) for part in (x_val, x_test)]
        last_better = 0
        for epoch in range(settings.max_epochs):
            for rows in torch.randperm(len(target)).split(settings.batch_size):
                optimizer.zero_grad(set_to_none=True)
                errors = F.mse_loss(heads(x[:, rows]), target[rows].expand(len(train), -1), reduction="none")
                errors.mean(1).sum().backward()
                optimizer.step()
            schedule.step()
            with torch.inference_mode():
                of_val = heads(x_val).double().numpy() * std + mean
                maes = np.abs(of_val - y_val).mean(1)
                better = maes < best
                if better.any():
                    last_better = epoch
                    best[better], kept[0][better] = maes[better], of_val[better]
                    kept[1][better] = heads(x_test).double().numpy()[better] * std + mean
            if epoch - last_better >= settings.patience:
                break
    return best, kept[0], kept[1]


def _stacked(
    parts: Sequence[np.ndarray], means: Sequence[np.ndarray], stds: Sequence[np.ndarray], *, width: int
) -> Tensor:
    """Standardised embeddings, padded with zeros to one width: ``[n_experts, n, width]``."""
    stacked = torch.zeros(len(parts), len(parts[0]), width)
    for head, (values, mean, std) in enumerate(zip(parts, means, stds, strict=True)):
        scaled = np.clip((values - mean) / std, -10, 10)
        stacked[head, :, : values.shape[1]] = torch.from_numpy(scaled.astype(np.float32))
    return stacked
