"""Intervals: they cover what they promise, tell sure from unsure, and widen where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moe_mat import MoERegressor
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.mixture.composition_range import CompositionRange
from moe_mat.mixture.domain import Domain
from moe_mat.mixture.intervals import Intervals
from moe_mat.mixture.predicted import HeldOut, Predicted, Said
from moe_mat.mixture.uncertainty_scores import ALL_LEVELS, CRPS_LEVELS, crps, interval_score, judge
from moe_mat.zoo.find import find_cards

QUICK = {"experts": ["magpie", "packing"], "max_epochs": 10, "random_state": 0}


def crystals(n: int, *, seed: int, n_targets: int = 1) -> HeldOut:
    """Predictions with heavy-tailed errors whose scale the one sign knows."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(n, n_targets, generator=random)
    log_scale = torch.randn(n, n_targets, generator=random)
    heavy = torch.randn(n, n_targets, generator=random) / torch.rand(n, n_targets, generator=random).sqrt()
    errors = 0.3 * heavy * log_scale.exp()
    said = Predicted(values, log_scale[..., None], torch.rand(n, n_targets, generator=random))
    return HeldOut([str(row) for row in range(n)], values + errors, said)


def said_of(held: HeldOut, *, beyond: float = 0.0) -> Said:
    return Said(held.predicted, torch.zeros_like(held.targets), torch.full((len(held.targets),), beyond))


def coverage(intervals: Intervals, held: HeldOut, level: float) -> float:
    lower, upper = intervals.bounds(said_of(held), level)
    return float(((lower <= held.targets) & (held.targets <= upper)).float().mean())


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_new_crystals_are_covered_as_often_as_promised(level: float) -> None:
    found = []
    for seed in range(20):
        intervals = Intervals(1)
        intervals.fit(crystals(200, seed=seed))
        found.append(coverage(intervals, crystals(500, seed=1000 + seed), level))
    assert np.mean(found) == pytest.approx(level, abs=0.02)


def test_sure_predictions_have_narrow_intervals_which_score_better_than_equal_ones() -> None:
    intervals, new = Intervals(1), crystals(2000, seed=1)
    intervals.fit(crystals(300, seed=0))
    lower, upper = (side.numpy() for side in intervals.bounds(said_of(new), 0.9))
    true, predicted = new.targets.numpy(), new.predicted.values.numpy()
    half = np.quantile(np.abs(true - predicted), 0.9)
    own = interval_score(true, lower, upper, 0.9).mean()
    assert own < 0.8 * interval_score(true, predicted - half, predicted + half, 0.9).mean()


def test_missing_values_and_targets_on_their_own_scales() -> None:
    held = crystals(200, seed=0, n_targets=2)
    held.targets[::3, 1] = torch.nan
    scale = torch.tensor([1.0, 1000.0])
    predicted = held.predicted._replace(values=held.predicted.values * scale)
    scaled = HeldOut(held.ids, held.targets * scale, predicted)
    plain, large = Intervals(2), Intervals(2)
    plain.fit(held)
    large.fit(scaled)
    expected = torch.stack(plain.bounds(said_of(held), 0.8)) * scale
    torch.testing.assert_close(torch.stack(large.bounds(said_of(scaled), 0.8)), expected, rtol=1e-3, atol=1e-2)


def test_levels_beyond_what_a_few_crystals_can_tell_go_on_growing() -> None:
    intervals, held = Intervals(1), crystals(8, seed=0)
    intervals.fit(held)
    widths = [
        float((upper - lower).sum())
        for level in (0.5, 0.8, 0.9, 0.99)
        for lower, upper in [bounds(intervals, held, level)]
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4
    few = Intervals(1)
    few.fit(crystals(4, seed=0))
    assert all(side.isnan().all() for side in few.bounds(said_of(held), 0.9))
    with pytest.raises(ValueError, match="between 0 and 1"):
        intervals.bounds(said_of(held), 90)


def bounds(intervals: Intervals, held: HeldOut, level: float) -> tuple[torch.Tensor, torch.Tensor]:
    return intervals.bounds(said_of(held), level)


def test_a_target_that_is_never_negative_has_no_negative_bound() -> None:
    held = crystals(100, seed=0)
    positive = HeldOut(held.ids, held.targets.abs(), held.predicted._replace(values=held.predicted.values.abs()))
    intervals = Intervals(1)
    intervals.fit(positive)
    lower, upper = bounds(intervals, positive, 0.95)
    assert float(lower.min()) == 0
    assert (upper > lower).all()


def test_beyond_the_compositions_of_the_training_an_interval_is_as_wide_as_that_of_the_median() -> None:
    intervals, held = Intervals(1), crystals(300, seed=0)
    intervals.fit(held)
    lower, upper = intervals.bounds(said_of(held, beyond=1.0), 0.9)
    within = torch.stack(bounds(intervals, held, 0.9))
    half = (held.targets - held.targets.median()).abs().quantile(0.9)
    assert float((upper - lower).min()) == pytest.approx(2 * float(half), rel=0.02)
    assert ((upper - lower) >= (within[1] - within[0]) - 1e-6).all()
    assert said_of(held, beyond=1.0).outside.all()
    assert not said_of(held).outside.any()


def test_percentiles_are_of_distances_in_the_training() -> None:
    domain = Domain()
    assert domain.percentile(torch.ones(2)).isnan().all()
    domain.fit(torch.arange(100.0))
    assert domain.percentile(torch.tensor([-1.0, 49.5, 1000.0])).tolist() == [0, 50, 100]


def test_a_composition_is_beyond_where_its_statistics_never_were() -> None:
    (card,) = find_cards("magpie")
    known = torch.rand(200, card.dim, generator=torch.Generator().manual_seed(0))
    known[:, :20] = 0.5  # never varies, so that a gate cannot know it
    found = CompositionRange([card])
    assert not found.beyond(known).any()  # nothing is known yet
    found.fit([known[:150], known[150:]])
    other = known[:50].clone()
    assert float((found.beyond(other) > 0).float().mean()) < 0.1
    other[:, :20] = 0.8
    assert (found.beyond(other) == 1).all()
    packing = CompositionRange(find_cards("packing"))
    packing.fit([torch.rand(20, packing.columns.numel() + 9)])
    assert not packing.beyond(torch.full((3, 9), 1e6)).any()


def test_scores_agree_with_known_ones() -> None:
    random = np.random.default_rng(0)
    true = random.normal(size=4000)
    from scipy.stats import norm

    half = norm.ppf(0.5 + np.array(ALL_LEVELS) / 2)
    upper = np.tile(half, (len(true), 1))
    judged = judge(true, np.zeros_like(true), np.ones_like(true), -upper, upper)
    assert judged.scores["coverage_90"] == pytest.approx(0.9, abs=0.015)
    assert judged.scores["mean_squared_z"] == pytest.approx(1, abs=0.1)
    n = len(ALL_LEVELS) - len(CRPS_LEVELS)
    # Gneiting and Raftery (2007), eq. 21, of a standard normal.
    exact = true * (2 * norm.cdf(true) - 1) + 2 * norm.pdf(true) - 1 / np.sqrt(np.pi)
    assert crps(true, -upper[:, n:], upper[:, n:]).mean() == pytest.approx(exact.mean(), rel=0.01)
    assert judged.calibration["coverage"].to_numpy() == pytest.approx(CRPS_LEVELS, abs=0.02)


@pytest.mark.parametrize(
    ("head", "n_members", "n_targets"), [("kernel", 1, 1), ("kernel", 2, 2), ("mlp", 1, 1), ("mlp", 2, 2)]
)
def test_every_head_has_intervals(head: str, n_members: int, n_targets: int) -> None:
    structures, table = load_quickstart()
    y = np.stack([table["bulk_modulus"], -table["bulk_modulus"]], axis=1)[:, :n_targets]
    y = y[:, 0] if n_targets == 1 else y
    model = MoERegressor(head=head, n_members=n_members, **QUICK).fit(structures[:40], y[:40])
    mean, lower, upper = model.predict(structures[40:], interval=0.9)
    plain, std = model.predict(structures[40:], return_std=True)
    np.testing.assert_array_equal(mean, plain)
    assert mean.shape == lower.shape == upper.shape == std.shape == y[40:].shape
    assert (lower <= mean).all()
    assert (std > 0).all()
    assert (upper - mean > std).all()  # 90 % are more than 68
    _, low, high = model.predict(structures[40:], interval=[0.5, 0.9])
    np.testing.assert_array_equal(low[..., 1], lower)
    assert (high[..., 0] <= high[..., 1]).all()
    domain = model.domain(structures[40:])
    assert list(domain)[:2] == (
        ["percentile", "outside"] if n_targets == 1 else ["target0_percentile", "target0_outside"]
    )
    with pytest.raises(ValueError, match="both given"):
        model.predict(structures[40:], return_std=True, interval=0.9)


def test_a_crystal_that_was_learned_from_is_at_no_distance_and_salt_is_outside_of_metals() -> None:
    structures, table = load_quickstart()
    metals = [row for row, s in enumerate(structures) if s[0].specie.is_metal]
    model = MoERegressor(n_members=1, **QUICK).fit(
        [structures[r] for r in metals], table["bulk_modulus"].to_numpy()[metals]
    )
    assert (model.domain([structures[row] for row in metals])["percentile"] == 0).all()
    others = [structures[row] for row, s in enumerate(structures) if not s[0].specie.is_metal]
    assert model.domain(others)["outside"].mean() > 0.8
