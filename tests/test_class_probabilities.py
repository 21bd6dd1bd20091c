"""Probabilities of classes and their scores, against references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from moe_mat.crystals.splits import stratified_split
from moe_mat.mixture.class_probabilities import ClassProbabilities, indicators, labels_of
from moe_mat.mixture.class_scores import judge_classes
from moe_mat.mixture.heads.ensemble import select
from moe_mat.mixture.predicted import HeldOut, Predicted
from moe_mat.mixture.transforms import TargetTransform


def held_out(labels: torch.Tensor, scores: torch.Tensor, n_classes: int) -> HeldOut:
    said = Predicted(scores, scores.new_empty(*scores.shape, 0), torch.zeros_like(scores))
    return HeldOut([str(row) for row in range(len(labels))], indicators(labels, n_classes), said)


def draw(n: int, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and noisy scores of them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(n_classes, (n,), generator=generator)
    columns = indicators(labels, n_classes)
    return labels, columns + 0.6 * torch.randn(columns.shape, generator=generator)


@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_indicators_and_labels_are_inverse(n_classes: int) -> None:
    labels = torch.arange(n_classes)
    columns = indicators(labels, n_classes)
    assert columns.shape == (n_classes, 1 if n_classes == 2 else n_classes)
    assert torch.equal(labels_of(columns), labels)


def test_of_two_classes_they_are_those_of_a_logistic_regression() -> None:
    labels, scores = draw(4000, 2)
    learned = ClassProbabilities(2)
    learned.fit(held_out(labels, scores, 2))
    reference = LogisticRegression(C=1e6).fit(scores, labels)
    np.testing.assert_allclose(learned(scores), reference.predict_proba(scores), atol=5e-3)


def test_they_are_calibrated_and_sum_to_one() -> None:
    labels, scores = draw(8000, 5)
    learned = ClassProbabilities(5)
    learned.fit(held_out(labels[:4000], scores[:4000], 5))
    said = learned(scores[4000:]).numpy()
    np.testing.assert_allclose(said.sum(1), 1)
    assert judge_classes(labels[4000:].numpy(), said).scores["calibration_error"] < 0.015


def test_what_was_not_held_out_is_not_impossible_and_a_few_make_nothing_certain() -> None:
    labels, scores = draw(300, 3)
    labels = labels.clamp_max(1)  # none is of the third class
    learned = ClassProbabilities(3)
    learned.fit(held_out(labels, scores, 3))
    assert 0 < learned(scores)[:, 2].mean() < 0.05
    few = ClassProbabilities(2)
    few.fit(held_out(torch.tensor([0, 1, 0, 1]), torch.tensor([[0.0], [1.0], [0.1], [0.9]]), 2))
    assert 0.9 < few(torch.tensor([[1.0]]))[0, 1] < 0.995
    none = ClassProbabilities(2)
    none.fit(held_out(torch.tensor([0, 1]), torch.full((2, 1), torch.nan), 2))
    assert none(torch.tensor([[0.5]]))[0, 1] == pytest.approx(0.5)


def test_scores_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    true, said = random.integers(3, size=200), random.dirichlet(np.ones(3), size=200)
    found = judge_classes(true, said)
    assert found.scores["log_loss"] == pytest.approx(log_loss(true, said))
    assert found.scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, said.argmax(1)))
    assert found.scores["roc_auc"] == pytest.approx(roc_auc_score(true, said, multi_class="ovr"))
    assert found.reliability["n"].sum() == 600
    two, said = true[true < 2], random.dirichlet(np.ones(2), size=(true < 2).sum())
    assert judge_classes(two, said).scores["brier"] == pytest.approx(2 * brier_score_loss(two, said[:, 1]))
    assert np.isnan(judge_classes(np.zeros(5, dtype=int), said[:5]).scores["roc_auc"])


def test_a_rare_class_is_no_outlier_and_probabilities_are_not_driven_to_the_likelier_class() -> None:
    column = torch.zeros(1000, 1)
    column[:5] = 1.0
    transform = TargetTransform("indicator", ["rare"])
    transform.fit(column)
    mapped = transform(column)[:, 0]
    torch.testing.assert_close(transform.without_outliers_of(mapped, 0), mapped)
    assert mapped.mean().abs() < 1e-4
    assert mapped.std(correction=0) == pytest.approx(1, abs=1e-3)
    # One learner says the share, another one always the likelier class.
    targets = torch.tensor([0.0] * 7 + [1.0] * 3)
    said = torch.stack([torch.full((10,), 0.3), torch.zeros(10)])
    assert select(said, targets, squared=True)[0] == 1
    assert select(said, targets)[1] == 1


def test_a_stratified_split_gives_each_part_its_share_and_the_first_of_a_class_to_training() -> None:
    labels = ["a"] * 70 + ["b"] * 20 + ["c"] * 9 + ["d"]
    split = stratified_split(labels, fractions=(0.6, 0.2, 0.2), seed=3)
    assert sorted(np.concatenate(split)) == list(range(100))
    counts = [[sum(labels[row] == name for row in part) for name in "abcd"] for part in split]
    assert [len(part) for part in split] == [60, 20, 20]
    assert counts[0][3] == 1
    assert all(abs(count - share) <= 1 for count, share in zip(counts[1][:3], (14, 4, 1.8), strict=True))
    again = stratified_split(labels, fractions=(0.6, 0.2, 0.2), seed=3)
    assert all(np.array_equal(*pair) for pair in zip(split, again, strict=True))
    assert not np.array_equal(split.test, stratified_split(labels, fractions=(0.6, 0.2, 0.2), seed=4).test)
