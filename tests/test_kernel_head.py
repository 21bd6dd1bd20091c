"""The kernel head against references."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from torch import Tensor
from toy_experts import cgcnn_expert
from toy_mixture import finish, fit, new_model, predictions, synthetic

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.distances import squared_distances
from moe_mat.mixture.heads.doubt import LEAST
from moe_mat.mixture.heads.gaussian_process import JITTER, GaussianProcess
from moe_mat.mixture.training import complete
from moe_mat.zoo.cards import ExpertCard


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    """An expert of width 8, and one of width 6."""
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("noise", 6))]


# The kernel head against references -----------------------------------------------------------------------------------


def head_with(lengths: list[float], signals: list[float], noise: float) -> GaussianProcess:
    """A kernel head with given length scales, variances and noise variance."""
    head = GaussianProcess(len(lengths))
    with torch.no_grad():
        head.log_inverse_length.copy_(-2 * torch.tensor(lengths).log())
        head.log_signal.copy_(torch.tensor(signals).log())
        head.log_noise.fill_(math.log(noise))
    return head


def crystals() -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Mixed embeddings of two gates for 40 training and 10 new crystals, and training targets."""
    generator = torch.Generator().manual_seed(1)
    mixed = [torch.randn(50, width, generator=generator) for width in (3, 2)]
    y = mixed[0][:, 0].sin() + 0.1 * torch.randn(50, generator=generator)
    return [x[:40] for x in mixed], [x[40:] for x in mixed], y[:40]


def test_one_gate_is_scikit_learns_gaussian_process() -> None:
    (train, _), (new, _), y = crystals()
    head = head_with([1.7], [0.8], 0.05)
    kernel = ConstantKernel(0.8) * Matern(1.7, nu=1.5)
    reference = GaussianProcessRegressor(kernel, alpha=0.05 + JITTER, optimizer=None).fit(train.numpy(), y.numpy())
    head.solve([train], y)
    mean, std = reference.predict(new.numpy(), return_std=True)
    np.testing.assert_allclose(head(head.to_support([new])).detach(), mean, atol=1e-4)
    np.testing.assert_allclose(
        head.std(head.to_support([new])).square(), std**2 + 0.05, atol=1e-4
    )  # of a new measurement

    ours = 40 * head.negative_log_likelihood([squared_distances(train, train)], y).item()
    prior = 0.5 * ((2 * math.log(1.7) / 1.5) ** 2 + (math.log(0.8) / 1.5) ** 2 + ((math.log(0.05) + 2) / 2) ** 2)
    theirs = -reference.log_marginal_likelihood_value_ - 20 * math.log(2 * math.pi)
    assert ours - prior == pytest.approx(theirs, abs=2e-3)


def test_two_gates_are_a_sum_of_kernels() -> None:
    train, new, y = crystals()
    lengths, signals, noise = [1.2, 2.5], [0.7, 0.4], 0.1
    head = head_with(lengths, signals, noise)
    head.solve(train, y)

    def covariance(a: list[Tensor], b: list[Tensor]) -> np.ndarray:
        distances = [math.sqrt(3) * cdist(x, z) / length for x, z, length in zip(a, b, lengths, strict=True)]
        return sum(s * (1 + r) * np.exp(-r) for r, s in zip(distances, signals, strict=True))

    solved = np.linalg.solve(covariance(train, train) + (noise + JITTER) * np.eye(40), y.double().numpy())
    np.testing.assert_allclose(head(head.to_support(new)).detach(), covariance(new, train) @ solved, atol=1e-4)


def test_gradients_of_the_likelihood_are_finite_differences() -> None:
    train, _, y = crystals()
    head = head_with([1.2, 2.5], [0.7, 0.4], 0.1)
    distances = [squared_distances(x, x) for x in train]
    head.negative_log_likelihood(distances, y).backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        for index in range(parameter.numel()):
            values = []
            for step in (1e-2, -1e-2):
                with torch.no_grad():
                    parameter.view(-1)[index] += step
                    values.append(head.negative_log_likelihood(distances, y).item())
                    parameter.view(-1)[index] -= step
            assert parameter.grad.view(-1)[index].item() == pytest.approx((values[0] - values[1]) / 2e-2, abs=1e-3)


def test_doubt_is_in_the_targets_unit(cards: list[ExpertCard], tmp_path: Path) -> None:
    data, model = synthetic(), new_model(cards, targets=["y"], target_transform="standardise")
    fit(model, data, tmp_path)
    head, least = model.head.processes[0], LEAST[0] * model.transform.spread[0]
    std = model.head.predict(data.part("test")).signs[:, 0, 0].exp() - least
    mixed = model.head._mix(model.head.scaling(data.part("test").embeddings), 0)
    torch.testing.assert_close(std, head.std(head.to_support(mixed)) * model.transform.std[0], rtol=1e-4, atol=1e-4)
    ceiling = (head.log_signal.exp().sum() + head.log_noise.exp()).sqrt() * model.transform.std[0]
    far = model.head.predict(Batch(torch.full((1, 14), 100.0), None, [])).signs[:, 0, 0].exp() - least
    assert float(far) > float(std.median())
    assert float(far) <= float(ceiling) * 1.001


def test_duplicates_and_constant_targets_are_no_obstacle(cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic(torch.full((80, 1), 7.0))
    data.embeddings[:40] = data.embeddings[0]
    model = new_model(cards, targets=["y"])
    fit(model, data, tmp_path)
    finish(model, data, ["y"])
    torch.testing.assert_close(predictions(model, data), torch.full((15, 1), 7.0))


def test_the_seed_reaches_which_rows_the_likelihood_sees_and_how_they_are_folded(
    cards: list[ExpertCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moe_mat.mixture.heads.kernel.MAX_ROWS", 20)
    data, model = synthetic(), new_model(cards, targets=["y"], head="kernel")
    fit(model, data, tmp_path, epochs=2)
    assert model.head.seed == model.seed
    seen, errors = [], []
    for seed in (1, 1, 2):
        model.head.seed = seed
        model.head.fit_constants(data.part("train"))
        model.head.finish(data.part("train"), data.part("val"))
        seen.append(model.head._seen[0].outputs)
        errors.append([one["cv_mae"] for one in model.head.tried])
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert errors[0] == errors[1] != errors[2]


@pytest.mark.parametrize(("most", "least", "of_val"), [(64, 15, True), (65, 15, False), (64, 16, False)])
def test_of_many_crystals_the_validation_rows_tell_how_far_to_trust_it(
    most: int, least: int, of_val: bool, cards: list[ExpertCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moe_mat.mixture.heads.kernel.MOST_BY_CHOICE", most)
    monkeypatch.setattr("moe_mat.mixture.heads.kernel.MIN_VALIDATION_ROWS", least)
    data, model = synthetic(), new_model(cards, targets=["y"], head="kernel")
    fit(model, data, tmp_path, epochs=2)
    before: list[Tensor] = []
    complete(model, data, before_refit=lambda: before.append(predictions(model, data, "val")))
    assert model.held_out is not None
    if of_val:
        assert list(model.held_out.ids) == data.part("val").ids
        torch.testing.assert_close(model.held_out.predicted.values, before[0])
        assert len(model.intervals.targets[0].scores) == 15
    else:
        assert len(model.held_out.ids) == 65
        assert not model.held_out.predicted.values[50:].equal(before[0])
