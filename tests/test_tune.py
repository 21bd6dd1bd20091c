"""The search: what is compared, when something is better, and that it goes on where it was ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from moe_mat.crystals import make_folds
from moe_mat.mixture.settings import MixtureSettings
from moe_mat.tune import SearchSpace, compare, judge_trials, usual_values
from moe_mat.tune.results import found_by
from moe_mat.tune.trials import STORAGE, Trials

BASE = MixtureSettings(experts="magpie", targets=["gap"], head="kernel")
VALUES = {"n_gates": [1, 3], "head": ["mlp"], "dropout": [0.0, 0.3], "hidden": [(8,)]}


def space() -> SearchSpace:
    return SearchSpace(BASE, VALUES)


def test_settings_of_one_head_are_not_varied_for_another() -> None:
    every = list(space().all())
    assert len(every) == 3 + 3 * 3 * 2
    assert len({tuple(one.items()) for one in every}) == len(every)
    assert every[0] == space().default == {"head": "kernel", "n_gates": "2"}
    assert [space().changes(one) for one in space().neighbours()] == [
        {"head": "mlp"},
        {"n_gates": "1"},
        {"n_gates": "3"},
    ]
    mlp = space().settings({"head": "mlp", "n_gates": "3", "dropout": "0.3", "hidden": "[8]"})
    assert (mlp.head, mlp.n_gates, mlp.dropout, mlp.hidden, mlp.experts) == ("mlp", 3, 0.3, (8,), "magpie")
    of_mlp = SearchSpace(MixtureSettings(head="mlp", dropout=0.5), {"head": ["kernel"]})
    assert of_mlp.settings({"head": "kernel"}).dropout == MixtureSettings.dropout  # the kernel head has none


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"heads": ["mlp"]}, "search names heads; there are experts, head"),
        ({"dropout": [0.3]}, "search names dropout, which no head has that is compared: add one to search.head"),
        ({"head": ["nobody"]}, "unknown head 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused(values: dict[str, list[object]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SearchSpace(BASE, values)


def test_usual_values_leave_out_what_is_the_same_or_impossible() -> None:
    skewed = torch.logspace(0, 4, 40)[:, None]
    assert usual_values(BASE, skewed)["target_transform"] == ["standardise", "asinh"]  # auto is the logarithm
    signs = torch.linspace(-1, 1, 40)[:, None]
    assert usual_values(BASE, signs)["target_transform"] == ["asinh"]  # auto is standardise
    assert "experts" not in usual_values(BASE, signs)
    assert "light" in usual_values(MixtureSettings(head="kernel"), signs)["experts"]


def test_differences_are_as_published() -> None:
    """The corrected resampled t-test, Nadeau and Bengio 2003: by hand."""
    scores, given = np.array([0.9, 1.8, 2.9, 4.2]), np.array([1.0, 2.0, 3.0, 4.0])
    found = compare(scores, given, test_share=1 / 3)
    differences = scores - given
    assert found.mean == pytest.approx(differences.mean())
    assert found.error == pytest.approx(np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1)))
    assert compare(given, given, test_share=0.25).chance == 1
    assert np.isnan(compare(given[:1], given[:1], test_share=0.25).error)


def test_noise_alone_seldom_wins_and_a_better_one_does() -> None:
    random, wins, optimism = np.random.default_rng(0), 0, []
    for _ in range(200):
        scores = 10 + random.normal(size=(12, 5))
        judged = judge_trials(scores, test_share=0.25)
        wins += judged.wins
        optimism.append(judged.chosen_elsewhere - scores[judged.best].mean())
    assert wins <= 20
    assert np.mean(optimism) > 0.5  # the best of twelve looks better than it is, and that is seen
    scores[3] = scores[0] - 2 - 0.1 * random.normal(size=5)
    assert judge_trials(scores, test_share=0.25).wins
    assert judge_trials(scores, test_share=0.25).best == 3
    assert not judge_trials(scores[:1], test_share=0.25).wins


class EndedError(Exception):
    """A process that is ended."""


def scores_of(labels: dict[str, str]) -> np.ndarray:
    """Of five folds: three gates are better, by more than folds differ."""
    better = 0.3 * (labels["n_gates"] == "3") - 0.5 * (labels["head"] == "mlp")
    return 1 + np.arange(5) / 10 - better + 0.01 * len(labels.get("dropout", ""))


def search(folder: Path, *, most: int, ended_after: int = 10**6) -> Trials:
    """As `Tuning` does, without a training."""
    trials = Trials(folder, space(), seed=7)
    n_folds = 0
    while len([one for one in trials.all() if one.state != "running"]) < most and (trial := trials.next()):
        labels = trials.labels(trial)
        for fold, score in enumerate(scores_of(labels)):
            if fold in trials.study.trials[trial.number].intermediate_values:
                continue
            if n_folds == ended_after:
                raise EndedError
            n_folds += 1
            trial.report(float(score), fold)
            if fold < 4 and trials.stops(trial):
                trials.end(trial)
                break
        else:
            trials.end(trial, score=float(scores_of(labels).mean()))
    return trials


def test_a_search_that_is_ended_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = search(whole, most=8).all()
    for _ in range(20):
        try:
            found = search(parts, most=8, ended_after=4).all()
            break
        except EndedError:
            with (parts / STORAGE).open("a") as stream:  # in the middle of a line
                stream.write('{"op_code": 6, "worker')
    assert [(one.labels, dict(one.scores), one.state) for one in found] == [
        (one.labels, dict(one.scores), one.state) for one in expected
    ]
    assert expected[0].labels == space().default
    assert expected[1].state == "stopped"  # the perceptron is worse on each of three folds
    assert len(expected[1].scores) == 3


def test_nothing_is_tried_twice_and_the_search_has_an_end(tmp_path: Path) -> None:
    trials = search(tmp_path, most=1000)
    assert sorted(str(one.labels) for one in trials.all()) == sorted(str(one) for one in space().all())
    found = found_by(trials.all(), space(), make_folds(50, n_folds=5))
    assert found["wins"]
    assert found["trials"][0]["changes"] == {"n_gates": "3"}
    assert found["trials"][0]["difference"] == pytest.approx(-0.3)
    assert found["chosen_elsewhere"] == pytest.approx(found["best"])
    assert found["verdict"].startswith("better than the defaults by more than the noise over folds: n_gates 3 (-25.0 ")


def test_one_trial_says_nothing_of_others(tmp_path: Path) -> None:
    trials = search(tmp_path, most=1)
    found = found_by(trials.all(), space(), make_folds(50, n_folds=5))
    assert not found["wins"]
    assert found["verdict"].startswith("keep the defaults: nothing else was compared to the end")
