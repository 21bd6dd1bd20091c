"""Scores: means over splits, comparisons, paired differences, and what is missing."""

import math

import numpy as np
import pytest
from scipy import stats
from toy_results import PHONONS, result, some_results

from benchmarks.cells.results import Cell, failed_result
from benchmarks.reports.scores import (
    BEST_TRANSFER,
    Key,
    against_method,
    against_published,
    gate_weights,
    missing_cells,
    paired,
    score,
    with_best_transfer,
)
from moe_mat.tasks import TaskCards

CARDS = TaskCards()


@pytest.fixture
def results():
    return some_results()


def test_score_is_mean_and_spread_over_splits_of_means_over_seeds(results):
    found = score(results)[Key("mp_phonons", "moe")]
    assert (found.mean, found.complete) == (pytest.approx(0.07), True)
    assert found.sd == pytest.approx(math.sqrt((4 + 1 + 0 + 1 + 4) * 1e-4 / 4))
    two = score([*results, result("mp_phonons", "moe", 0, 0.15, seed=1)])[Key("mp_phonons", "moe")]
    assert two.by_split[0] == pytest.approx(0.1)
    assert math.isnan(score(results[:1])[Key("mp_phonons", "moe")].sd)


def test_comparison_with_published_numbers(results):
    found = against_published(CARDS, score(results), "moe", "MoE-(18)")
    assert found.changes == pytest.approx({"mp_phonons": 0.07 / 0.0996 - 1, "mp_poisson_ratio": 0.03 / 0.0292 - 1})
    assert found.wins == 1
    assert found.mean == pytest.approx(((0.07 / 0.0996 - 1) + (0.03 / 0.0292 - 1)) / 2)


def test_only_complete_and_comparable_tasks_count_against_published_numbers(results):
    scores = score([*results[1:], *(result("jarvis_3d_gap_tbmbj", "moe", split, 0.1) for split in range(5))])
    assert set(against_published(CARDS, scores, "moe", "MoE-(18)").changes) == {"mp_poisson_ratio"}


def test_paired_differences_and_their_tests(results):
    rows = {"rows": {"train": 70, "val": 15, "test": 14}}
    found = paired(score([{**one, **rows} for one in results]), "mp_phonons", "moe", "rf-magpie")
    differences = np.subtract(PHONONS["moe"], PHONONS["rf-magpie"])
    assert list(found.by_split.values()) == pytest.approx(differences)
    t = differences.mean() / (differences.std(ddof=1) * math.sqrt(1 / 5 + 14 / 70))
    assert found.t_test == pytest.approx(2 * stats.t.sf(abs(t), df=4))
    assert paired(score(results), "mp_phonons", "moe", "rf-magpie").t_test is None  # numbers of rows are not known
    assert paired(score(results), "mp_phonons", "moe", "stl") is None
    same = [{**result("mp_phonons", m, split, 0.1 * split), **rows} for m in ("a", "b") for split in range(5)]
    assert paired(score(same), "mp_phonons", "a", "b").t_test is None


def test_methods_are_compared_over_the_tasks_that_both_have(results):
    found = against_method(score(results), "moe", "rf-magpie")
    assert found.changes == pytest.approx({"mp_phonons": 0.07 / 0.114 - 1, "mp_poisson_ratio": 0.03 / 0.034 - 1})


def test_a_task_of_which_a_split_is_missing_is_not_compared(results):
    missing = [r for r in results if (r["task"], r["method"], r["split"]) != ("mp_phonons", "rf-magpie", 4)]
    assert set(against_method(score(missing), "moe", "rf-magpie").changes) == {"mp_poisson_ratio"}
    assert paired(score(missing), "mp_phonons", "moe", "rf-magpie") is None


def test_best_transfer_is_chosen_on_validation_for_each_task():
    given = []
    for task, good in (("mp_phonons", "tl:a"), ("mp_poisson_ratio", "tl:b")):
        for method in ("tl:a", "tl:b"):
            # Best on validation is worst on test here: that must not help.
            val, test = (0.1, 0.9) if method == good else (0.2, 0.3)
            given += [result(task, method, split, test, val=val) for split in range(5)]
    scores = score(with_best_transfer(given))
    assert {key.method for key in scores} == {BEST_TRANSFER}
    assert [found.mean for found in scores.values()] == pytest.approx([0.9, 0.9])


def test_gate_weights_are_averaged_and_absent_experts_are_zero():
    given = [
        result("mp_phonons", "moe", 0, 0.1, gate_weights={"a": 0.5, "b": 0.5}),
        result("mp_phonons", "moe", 1, 0.1, gate_weights={"a": 0.2, "c": 0.8}),
        result("mp_phonons", "moe", 1, 0.1, gate_weights={"a": 1.0}, n_labels=10),
    ]
    assert gate_weights(given, "moe")["mp_phonons"] == pytest.approx({"a": 0.35, "b": 0.25, "c": 0.4})


def test_missing_cells_are_named_with_the_reason(results):
    failed = failed_result(Cell("mp_phonons", 2, "moe"), error="ValueError: no way\nat all", traceback="...")
    kept = [
        r for r in results if (r["task"], r["method"], r["split"]) not in {("mp_phonons", "moe", n) for n in (2, 4)}
    ]
    missing = missing_cells([*kept, failed], "moe", ["mp_phonons", "mp_poisson_ratio", "expt_eform"])
    assert missing == {
        "mp_phonons": "splits 2 failed, ValueError: no way; splits 4 not run",
        "expt_eform": "splits 0 1 2 3 4 not run",
    }
