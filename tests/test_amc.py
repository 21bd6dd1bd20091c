"""Adaptive module composition: the leave-one-out predictions and the convex weights, against independent solutions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from moe_mat.moma.amc import amc_weights, loo_knn_predictions

Problem = tuple[np.ndarray, np.ndarray]


def problem(seed: int, n: int, m: int, *, scale: float = 1.0) -> Problem:
    """Predictions ``[n, m]`` that shrink the target and add noise, each to its own degree."""
    random = np.random.default_rng(seed)
    y = random.normal(size=n) * scale
    noise = random.normal(size=(n, m)) * random.uniform(0.1, 1.0, m) * scale
    return y[:, None] * random.uniform(0, 1, m) + noise, y


def objective(w: np.ndarray, p: np.ndarray, y: np.ndarray, *, entropy: float = 0.0, sparsity: float = 0.0) -> float:
    """The published objective, in units of the variance of the target, and both further terms."""
    single = np.sqrt(((p - y[:, None]) ** 2).mean(0) / y.var())
    logarithms = np.log(np.clip(w, 1e-300, None))
    return float(((p @ w - y) ** 2).mean() / y.var() + entropy * (w @ logarithms) + sparsity * (single @ w) ** 2)


def independent(p: np.ndarray, y: np.ndarray, **terms: float) -> np.ndarray:
    """Sequential quadratic programming, which knows neither active sets of ours nor residuals."""
    m = p.shape[1]
    found = minimize(
        lambda w: objective(np.abs(w), p, y, **terms),
        np.full(m, 1 / m),
        method="SLSQP",
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    w = found.x.clip(0)
    return w / w.sum()


@pytest.mark.parametrize("terms", [{}, {"sparsity": 0.1}, {"entropy": 0.05}, {"entropy": 0.01, "sparsity": 0.5}])
@pytest.mark.parametrize(("n", "m", "scale"), [(200, 2, 1.0), (300, 8, 1e-3), (60, 18, 1e4), (8, 18, 1.0)])
def test_weights_are_those_of_an_independent_solver(n: int, m: int, scale: float, terms: dict[str, float]) -> None:
    p, y = problem(n + m, n, m, scale=scale)
    ours, theirs = amc_weights(p, y, **terms), independent(p, y, **terms)
    assert ours.min() >= 0
    assert ours.sum() == pytest.approx(1, abs=1e-12)
    assert objective(ours, p, y, **terms) <= objective(theirs, p, y, **terms) + 1e-8
    if n > 2 * m:  # otherwise several weights may be nearly as good
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), m=st.integers(1, 12))
def test_no_module_could_take_weight_from_another_and_win(seed: int, n: int, m: int) -> None:
    p, y = problem(seed, n, m)
    w = amc_weights(p, y)
    # Karush-Kuhn-Tucker: the slope is the same at all modules with a weight, and not smaller at those without.
    slope = 2 * (p - y[:, None]).T @ (p @ w - y) / n / y.var()
    assert slope.min() > (slope @ w) - 1e-6


def test_the_true_weights_are_found() -> None:
    random = np.random.default_rng(0)
    p = random.normal(size=(400, 6))
    true = np.array([0.0, 0.5, 0.0, 0.2, 0.3, 0.0])
    np.testing.assert_allclose(amc_weights(p, p @ true), true, atol=1e-6)
    noisy = amc_weights(p, p @ true + 0.05 * random.normal(size=400))
    np.testing.assert_allclose(noisy, true, atol=0.02)


def test_every_row_counts() -> None:
    # The first 800 rows speak for module 0, the others for module 1, which is right by far more there.
    y = np.sin(np.arange(1200.0))
    p = np.stack([np.where(np.arange(1200) < 800, y, y + 9), np.where(np.arange(1200) < 800, y + 1, y)], axis=1)
    assert amc_weights(p[:800], y[:800])[0] > 0.999
    expected = 81 * 400 / (81 * 400 + 800)
    np.testing.assert_allclose(amc_weights(p, y), [1 - expected, expected], atol=1e-6)


def test_equal_modules_share_and_order_does_not_matter() -> None:
    p, y = problem(3, 150, 5)
    twins = amc_weights(np.column_stack([p, p[:, 1]]), y)
    alone = amc_weights(p, y)
    assert alone[1] > 0.05
    np.testing.assert_allclose(twins[[1, 5]], alone[1] / 2, atol=1e-5)
    order = [4, 2, 0, 3, 1]
    np.testing.assert_allclose(amc_weights(p[:, order], y), alone[order], atol=1e-9)
    rows = np.random.default_rng(0).permutation(150)
    np.testing.assert_allclose(amc_weights(p[rows], y[rows]), alone, atol=1e-9)
    # Modules that all say the same leave nothing to choose.
    np.testing.assert_allclose(amc_weights(np.ones((9, 4)), np.arange(9.0)), 0.25, atol=1e-6)
    np.testing.assert_allclose(amc_weights(p, np.full(150, 2.0)).sum(), 1)


def test_a_module_without_a_weight_changes_no_bit_of_the_others() -> None:
    for seed in range(20):
        p, y = problem(seed, 80, 6)
        useless = y + 4 * (p[:, 0] - y)  # wrong wherever module 0 is, and by more: nobody's complement
        for place in (0, 3, 6):
            grown = amc_weights(np.insert(p, place, useless, axis=1), y)
            assert grown[place] == 0
            assert np.delete(grown, place).tobytes() == amc_weights(p, y).tobytes()


def test_the_terms_do_what_they_are_for() -> None:
    p, y = problem(5, 100, 8)
    plain, even, single = (amc_weights(p, y, **terms) for terms in ({}, {"entropy": 10.0}, {"sparsity": 1e6}))
    np.testing.assert_allclose(even, 1 / 8, atol=0.02)
    assert single.argmax() == ((p - y[:, None]) ** 2).mean(0).argmin()
    assert single.max() > 0.999
    assert (amc_weights(p, y, entropy=1e-7) - plain).max() < 1e-3


def test_a_crystal_is_predicted_from_others_alone() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(30, 4)), random.normal(size=30)
    before = loo_knn_predictions(x, y)
    for row in range(30):
        changed = np.where(np.arange(30) == row, 1e6, y)
        assert loo_knn_predictions(x, changed)[row] == before[row]


def test_copies_do_not_tell_the_label_of_each_other() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(12, 3)), random.normal(size=12)
    x[7], y[7] = x[2], 1e6  # the same crystal again, with a label that would be noticed
    open_book, honest = loo_knn_predictions(x, y), loo_knn_predictions(x, y, groups=[*range(7), 2, *range(8, 12)])
    assert open_book[2] > 1e4
    assert abs(honest[2]) < 10
    np.testing.assert_allclose(honest[2], loo_knn_predictions(np.delete(x, 7, 0), np.delete(y, 7))[2])


def test_predictions_are_those_of_the_formula() -> None:
    random = np.random.default_rng(2)
    x, y = random.uniform(size=(2300, 3)), random.normal(size=2300)  # more crystals than are looked at at once
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for row in (0, 999, 1000, 2299):
        cosine = unit @ unit[row]
        cosine[row] = -np.inf
        nearest = np.argsort(-cosine)[:5]
        weights = np.exp(cosine[nearest] / 0.2)
        assert loo_knn_predictions(x, y)[row] == pytest.approx(weights @ y[nearest] / weights.sum(), rel=1e-9)


def test_fewer_crystals_than_neighbours_and_embeddings_of_zero() -> None:
    np.testing.assert_allclose(loo_knn_predictions([[1.0, 0.0], [0.0, 1.0]], [1.0, 2.0]), [2.0, 1.0])
    assert np.isfinite(loo_knn_predictions(np.zeros((4, 3)), np.arange(4.0))).all()
    # Of three crystals two are copies: each is predicted from the only other one.
    np.testing.assert_allclose(loo_knn_predictions(np.eye(3), [1.0, 2.0, 3.0], groups=[0, 0, 1])[:2], 3.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0], [2.0]], [1.0]), "do not go together"),
        (([[1.0], [np.nan]], [1.0, 2.0]), "must be finite"),
        (([[1.0], [2.0]], [1.0, np.nan]), "must be finite"),
        (([[1.0]], [1.0]), "two different ones are the least"),
    ],
)
def test_what_cannot_be_composed_is_named(arguments: tuple[list, list], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loo_knn_predictions(*arguments)


def test_settings_that_make_no_sense_are_refused() -> None:
    x, y = np.eye(3), np.arange(3.0)
    with pytest.raises(ValueError, match="use at least 1, and a positive number"):
        loo_knn_predictions(x, y, k=0)
    with pytest.raises(ValueError, match="all of them the same"):
        loo_knn_predictions(x, y, groups=[0, 0, 0])
    with pytest.raises(ValueError, match="use positive numbers, or 0 for none"):
        amc_weights(x, y, entropy=-1)
    with pytest.raises(ValueError, match="do not go together"):
        amc_weights(x, y[:2])
    with pytest.raises(ValueError, match="must be finite"):
        amc_weights(x, [1.0, np.inf, 0.0])
