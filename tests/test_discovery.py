"""The benchmark of suggestions: labels that searches need, and a run that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.campaigns.choosers import Chooser, Forest, Rows
from benchmarks.campaigns.needed import Aim, at_random, needed
from benchmarks.campaigns.problems import BATCH, BUDGET, START, Problem
from benchmarks.campaigns.results import add_repeat, path_of, read_repeats
from benchmarks.campaigns.search import search
from benchmarks.campaigns.table import read_searches, tables

ALL = Aim("all of the top 10", False, 1.0)


class Knowing(Chooser):
    """Takes the best at once, or the worst."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def next_batch(self, problem: Problem, known: Rows, rest: Rows) -> Rows:
        return rest[np.argsort(-self.sign * problem.goal.merit(problem.targets[rest]), kind="stable")[:BATCH]]


@pytest.fixture
def problem() -> Problem:
    return Problem.drawn("mp_phonons", np.random.default_rng(0).normal(size=700), "min", 3)


def test_random_choice_is_as_the_formula_says() -> None:
    random = np.random.default_rng(0)
    drawn = [np.sort(random.permutation(60)[:5])[2] + 1 for _ in range(20_000)]
    assert np.mean(drawn) == pytest.approx(at_random(60, 5, 3), rel=0.01)


def test_a_search_ends_when_all_is_found_or_the_budget_is_spent(problem: Problem) -> None:
    best, worst = (search(problem, Knowing(sign)) for sign in (1.0, -1.0))
    assert set(best["labels"]) <= {START, START + BATCH}
    unfinished = [n for n in worst["labels"] if n is None]
    assert unfinished
    of_best, of_worst = (needed([one], ALL) for one in (best, worst))
    assert of_best.labels == START + BATCH
    assert of_best.unfinished == 0
    assert of_worst.unfinished == 1
    m = len(unfinished)
    assert of_worst.labels == pytest.approx(BUDGET + m * (600 - BUDGET + 1) / (m + 1))
    assert of_best.ratio == pytest.approx(40 / at_random(600, 10, 10))


def test_a_forest_learns_which_are_large(problem: Problem) -> None:
    features = np.stack([problem.targets, -problem.targets], axis=1).astype(np.float32)
    found = search(problem, Forest(features))
    assert None not in found["labels"]


def test_repeats_are_kept_and_make_tables(problem: Problem, tmp_path: Path) -> None:
    path = path_of(tmp_path, "mp_phonons", "moe")
    for seed in (1, 0):
        add_repeat(path, {**search(problem, Knowing(1.0)), "seed": seed}, task="mp_phonons", method="moe", goal="max")
    assert [one["seed"] for one in read_repeats(path, goal="max")] == [0, 1]
    with pytest.raises(ValueError, match="another search"):
        read_repeats(path, goal="min")
    text = tables(read_searches(tmp_path, ["moe"]), ["moe"])
    assert "| Last phonon DOS peak | max | 2 | 546 | 40 (40 to 40), 7 % |" in text
    assert "| 1 of 1 |" in text
    path.write_text(path.read_text().replace('"moe"', '"moo"'))
    with pytest.raises(ValueError, match="checksum"):
        read_repeats(path, goal="max")
