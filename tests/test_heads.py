"""Heads and their losses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moe_mat.mixture.heads.mlp import ACTIVATIONS, LOSSES, masked_loss, mlp

NAN = float("nan")
REFERENCES = {"mse": nn.MSELoss(), "mae": nn.L1Loss(), "huber": nn.HuberLoss()}


@pytest.mark.parametrize("kind", LOSSES)
def test_missing_targets_have_no_part_in_the_loss(kind: str) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(6, 3, requires_grad=True), 3 * torch.randn(6, 3)
    targets[0, 0] = targets[4, 2] = targets[5] = NAN
    present = targets.isfinite()
    loss = masked_loss(kind, outputs, targets)
    assert loss.item() == pytest.approx(REFERENCES[kind](outputs[present], targets[present]).item())
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert torch.equal(outputs.grad != 0, present)
    complete = targets.nan_to_num()
    torch.testing.assert_close(masked_loss(kind, outputs, complete), REFERENCES[kind](outputs, complete))


def test_a_batch_without_any_target_does_not_poison_the_weights() -> None:
    head = mlp(4, 2, hidden=[3], activation="silu")
    loss = masked_loss("mse", head(torch.randn(5, 4)), torch.full((5, 2), NAN))
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss 'rmse'; known: mse, mae, huber"):
        masked_loss("rmse", torch.zeros(1, 1), torch.zeros(1, 1))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[], [7], [7, 3]])
def test_layers_are_as_asked(hidden: list[int], activation: str) -> None:
    head = mlp(5, 2, hidden=hidden, activation=activation, dropout=0.5)
    assert head(torch.randn(4, 5)).shape == (4, 2)
    assert [layer.out_features for layer in head if isinstance(layer, nn.Linear)] == [*hidden, 2]
    for kind in (ACTIVATIONS[activation], nn.Dropout):
        assert sum(isinstance(layer, kind) for layer in head) == len(hidden)
    assert isinstance(head[-1], nn.Linear)  # an output without activation or dropout


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'gelu'; known: relu, silu, softplus, tanh"):
        mlp(5, 1, hidden=[3], activation="gelu")
