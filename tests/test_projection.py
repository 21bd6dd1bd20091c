"""Projections: embeddings of different widths and scales, side by side in one width."""

from __future__ import annotations

import pytest
import torch

from moe_mat.mixture.heads.projection import Projections

DIMS = [4, 9, 4, 1, 9]


def embeddings(n: int = 300, *, dims: list[int] = DIMS, seed: int = 0) -> torch.Tensor:
    """Features of all scales and offsets."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10.0 ** torch.randint(-3, 4, (sum(dims),), generator=torch.Generator().manual_seed(9))
    return (torch.randn(n, sum(dims), generator=generator) + 2) * scale


def test_each_expert_has_its_own_linear_map_of_its_standardised_features() -> None:
    torch.manual_seed(0)
    projections, values = Projections(DIMS, width=6), embeddings()
    torch.nn.init.normal_(projections.bias)
    projections.fit(values)
    projected = projections(values)
    assert projected.shape == (300, len(DIMS), 6)
    standardised = ((values - values.mean(0)) / values.std(0, correction=0)).split(DIMS, dim=1)
    for expert, own in enumerate(standardised):
        # Linear in its own features, to the last digit: least squares finds the map again.
        design = torch.cat([own, torch.ones(300, 1)], dim=1).double()
        solution = torch.linalg.lstsq(design, projected[:, expert].detach().double()).solution
        torch.testing.assert_close(design @ solution, projected[:, expert].detach().double(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(solution[-1].float(), projections.bias[expert].detach(), atol=1e-4, rtol=1e-3)


def test_an_expert_does_not_see_the_others() -> None:
    projections, values = Projections(DIMS, width=6), embeddings()
    projections.fit(values)
    starts = [sum(DIMS[:i]) for i in range(len(DIMS))]
    for expert, (start, dim) in enumerate(zip(starts, DIMS, strict=True)):
        changed = values.clone()
        changed[:, start : start + dim] = values[torch.randperm(300), start : start + dim] * 0.5
        differs = (projections(changed) != projections(values)).any(-1).any(0)
        assert differs.tolist() == [other == expert for other in range(len(DIMS))]


@pytest.mark.parametrize("n_experts", [1, 2, 40])
def test_scale_does_not_depend_on_the_number_of_experts(n_experts: int) -> None:
    torch.manual_seed(0)
    dims = [32] * n_experts
    projections, values = Projections(dims, width=64), embeddings(dims=dims)
    projections.fit(values)
    assert projections(values).std().item() == pytest.approx(1, rel=0.15)


def test_constants_come_from_the_rows_of_fit_alone() -> None:
    projections, values = Projections(DIMS, width=6), embeddings()
    projections.fit(values[:100])
    mean, std = projections.standardise.mean.clone(), projections.standardise.std.clone()
    projections(values[100:] * 50)
    projections.train()(values[100:])
    assert torch.equal(projections.standardise.mean, mean)
    assert torch.equal(projections.standardise.std, std)
    torch.testing.assert_close(mean, values[:100].mean(0))


@pytest.mark.parametrize("level", [0.0, 1.0, 1234.567])
def test_a_feature_that_is_constant_in_training_says_nothing(level: float) -> None:
    projections, values = Projections([3], width=6), embeddings(dims=[3])
    values[:, 1] = level * (1 + 1e-7 * torch.randn(300))  # as constant as float32 arithmetic leaves it
    projections.fit(values)
    other = values.clone()
    other[:, 1] += 100
    assert torch.equal(projections(other), projections(values))
    assert projections(values).isfinite().all()


def test_a_crystal_unlike_any_other_stays_within_bounds() -> None:
    projections, values = Projections(DIMS, width=6), embeddings()
    projections.fit(values)
    largest = projections(values).abs().max()
    extreme = projections(values.mean(0, keepdim=True) + 1e6 * values.std(0))
    assert extreme.isfinite().all()
    assert extreme.abs().max() < 10 * 3 * largest


def test_one_training_row_gives_finite_numbers() -> None:
    projections = Projections(DIMS, width=6)
    projections.fit(embeddings(1))
    assert projections(embeddings(5)).isfinite().all()


def test_without_a_width_embeddings_are_standardised_and_not_projected() -> None:
    projections, values = Projections([4, 4], width=None), embeddings(dims=[4, 4])
    projections.fit(values)
    assert projections.width == 4
    expected = ((values - values.mean(0)) / values.std(0, correction=0)).view(300, 2, 4)
    torch.testing.assert_close(projections(values), expected)
    assert not list(projections.parameters())
    with pytest.raises(ValueError, match=r"widths \[4, 5\] cannot be mixed without a projection: set a width"):
        Projections([4, 5, 4], width=None)


def test_constants_travel_in_the_checkpoint() -> None:
    projections, values = Projections(DIMS, width=6), embeddings()
    projections.fit(values)
    loaded = Projections(DIMS, width=6)
    loaded.load_state_dict(projections.state_dict())
    assert torch.equal(loaded(values), projections(values))
