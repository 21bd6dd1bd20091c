"""Intervals and tests of the report against known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from toy_results import result

from benchmarks.reports.bootstrap import Errors, difference, errors_of, interval
from benchmarks.reports.complete import complete_results
from benchmarks.reports.errors import r2, without_largest
from benchmarks.reports.resampled import corrected_t_test

N_SPLITS, N_TEST = 5, 60


def cells(of_crystal: np.ndarray, tested: list[np.ndarray], *, seed: int = 0) -> list[dict[str, Any]]:
    """Results of a method that is off by so much for each crystal ``[n]``, on splits that overlap."""
    found = []
    for split, rows in enumerate(tested):
        ids = [f"c{row:03d}" for row in rows]
        arrays = {"ids": ids, "targets": [0.0] * len(rows), "predictions": of_crystal[rows].tolist()}
        found.append(result("mp_phonons", "moe", split, float(of_crystal[rows].mean()), seed=seed, **arrays))
    return found


def splits(random: np.random.Generator, n_crystals: int) -> list[np.ndarray]:
    return [random.permutation(n_crystals)[:N_TEST] for _ in range(N_SPLITS)]


def known(results: list[dict[str, Any]]) -> Errors:
    errors = errors_of(results)
    assert errors is not None
    return errors


def test_intervals_cover_the_true_mae_and_the_true_difference() -> None:
    random = np.random.default_rng(0)
    covered, n_repeats = np.zeros(2), 200
    for _ in range(n_repeats):
        tested, ours = splits(random, 200), random.exponential(1.0, size=200)
        theirs = 0.5 * ours + random.exponential(0.7, size=200)  # alike, and larger by 0.2 in the mean
        found = [known(cells(values, tested)) for values in (ours, theirs)]
        gap = difference(*found)
        assert gap is not None
        covered += [interval(found[0]).low <= 1 <= interval(found[0]).high, gap.low <= -0.2 <= gap.high]
    assert (covered / n_repeats > 0.90).all()
    assert (covered / n_repeats < 0.99).all()


def test_overlapping_splits_are_not_taken_for_more_crystals() -> None:
    values = np.random.default_rng(0).exponential(1.0, size=N_TEST)
    once, often = (known(cells(values, [np.arange(N_TEST)] * n)) for n in (1, N_SPLITS))
    assert interval(once) == pytest.approx(interval(often))
    assert interval(once).high - interval(once).low == pytest.approx(3.92 * values.std() / math.sqrt(N_TEST), rel=0.1)


def test_the_same_crystals_are_drawn_for_both_methods_of_a_difference() -> None:
    random = np.random.default_rng(0)
    tested, values = splits(random, 200), random.exponential(1.0, size=200)
    gap = difference(known(cells(values + 0.01, tested)), known(cells(values, tested)))
    assert gap == pytest.approx((0.01, 0.01))
    others = cells(values, splits(random, 200))
    assert difference(known(cells(values, tested)), known(others)) is None
    assert errors_of([result("mp_phonons", "moe", split, 0.1) for split in range(5)]) is None


def test_seeds_are_drawn_too() -> None:
    random = np.random.default_rng(0)
    tested, values = splits(random, 200), random.exponential(1.0, size=200)
    seeds = [*cells(values, tested), *cells(values + 3, tested, seed=1)]
    found = known(seeds)
    assert found.values.shape == (2, 200 - int((~np.isin(np.arange(200), np.concatenate(tested))).sum()), 5)
    assert interval(found).low < values.mean() + 0.5 < values.mean() + 2.5 < interval(found).high


def test_corrected_t_test_is_what_a_pencil_gives() -> None:
    # Mean 3, variance 2.5: t = 3 / sqrt((1/5 + 1/4) 2.5) = sqrt(8). With four degrees of freedom, Student's
    # distribution function is 1/2 + 3/8 s (1 - s^2/12) with s = t / sqrt(1 + t^2/4): here s^2 = 8/3.
    expected = 2 * (1 / 2 - 3 / 8 * math.sqrt(8 / 3) * (1 - 8 / 36))
    assert corrected_t_test([1, 2, 3, 4, 5], ratio=0.25) == pytest.approx(expected)
    assert expected == pytest.approx(0.0474, abs=1e-4)
    plain = corrected_t_test([1, 2, 3, 4, 5], ratio=0.0)
    assert plain is not None
    assert plain < expected
    assert corrected_t_test([1, 1, 1], ratio=0.2) is None
    assert corrected_t_test([1, 2], ratio=math.nan) is None


def test_a_run_that_lacks_a_split_is_absent() -> None:
    whole = [result("mp_phonons", "moe", split, 0.1) for split in range(5)]
    part = [result("mp_phonons", "moe", split, 0.1, seed=1) for split in range(4)]
    part += [result("expt_eform", "moe", split, 0.1) for split in range(4)]
    failed = {**result("expt_eform", "moe", 4, 0.1), "status": "failed"}
    few = [result("mp_phonons", "moe", 0, 0.3, n_labels=10)]
    assert complete_results([*whole, *part, failed, *few]) == [*whole, *few]


def test_what_an_mae_hides() -> None:
    assert without_largest(np.array([1.0] * 199 + [1000.0, 500.0])) == pytest.approx(1.0)
    assert without_largest(np.array([1.0, 2.0, 9.0])) == pytest.approx(1.5)
    true, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0])
    arrays = {"ids": list("abc"), "targets": true.tolist(), "predictions": predicted.tolist()}
    assert r2(known([result("mp_phonons", "moe", 0, 2 / 3, **arrays)])) == pytest.approx(1 - 4 / 2)
