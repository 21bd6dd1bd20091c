"""The head of many labels: as exact as its landmarks allow, in bounded memory, and chosen by the number of rows."""

from __future__ import annotations

import json
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import SVR
from toy_experts import cgcnn_expert
from toy_mixture import ROWS, finish, fit, new_model, predictions, synthetic

from moe_mat import MoERegressor
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.mixture import distances, memory
from moe_mat.mixture.heads import choice, inducing
from moe_mat.mixture.heads.base import HEADS
from moe_mat.mixture.heads.inducing import InducingHead, n_landmarks
from moe_mat.mixture.heads.learners import EPSILON, Learner
from moe_mat.mixture.heads.linear_machines import FeatureExamples, support_vector_regression
from moe_mat.mixture.memory import affordable, needed_memory
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.settings import MixtureSettings
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("noise", 6))]


def trained(cards: list[ExpertCard], folder: Path, head: str) -> MixtureOfExperts:
    model = new_model(cards, targets=["y"], head=head)
    fit(model, synthetic(), folder / head, epochs=20)
    return model


def only(model: MixtureOfExperts, learner: Learner) -> None:
    model.head.ensembles[0].choose([learner], torch.ones(1))


# Against the exact head -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learner", "within"),
    [(Learner("gated", False, False, 1.0), 0.01), (Learner("gated", True, False, 3.0), 0.05)],
    ids=["process", "machine"],
)
def test_with_all_crystals_as_landmarks_it_is_the_exact_head(
    learner: Learner, within: float, cards: list[ExpertCard], tmp_path: Path
) -> None:
    data, said = synthetic(), {}
    for head in ("kernel", "inducing"):
        model = trained(cards, tmp_path, head)
        model.head.finish(data.part("train"), data.part("val"))
        only(model, learner)
        model.head.refit(data.part("train"))
        said[head] = model.head.predict(data.part("test"))
    spread = data.targets[ROWS["train"]].std()
    exact, inducing_points = said["kernel"], said["inducing"]
    assert (exact.values - inducing_points.values).abs().max() < within * spread
    torch.testing.assert_close(exact.signs[..., 0], inducing_points.signs[..., 0], rtol=0.02, atol=0.02)
    torch.testing.assert_close(exact.distances, inducing_points.distances)


def test_fewer_landmarks_still_tell(cards: list[ExpertCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inducing, "LANDMARKS", 25)
    monkeypatch.setattr(inducing, "CHOICE_LANDMARKS", 15)
    chosen_by: list[int] = []
    choose = InducingHead._choose_learners

    def noted(head: InducingHead, column: int, *arguments: Any) -> None:
        choose(head, column, *arguments)
        chosen_by.append(len(head.processes[column].support))

    monkeypatch.setattr(InducingHead, "_choose_learners", noted)
    model = trained(cards, tmp_path, "inducing")
    report = finish(model, synthetic(), ["y"])
    assert chosen_by == [15]
    assert len(model.head.processes[0].support) == 25
    test = report.metrics[report.metrics["part"] == "test"].iloc[0]
    assert test["mae"] < 0.7 * test["median_mae"]


def test_scales_come_from_some_rows_and_bounds_from_all(
    cards: list[ExpertCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inducing, "MAX_SCALE_ROWS", 5)
    monkeypatch.setattr(inducing, "MAX_ROWS", 10)
    model = trained(cards, tmp_path, "inducing")
    values = synthetic().targets[ROWS["train"]]
    low, high = values.aminmax()
    torch.testing.assert_close(model.head.bounds[:, 0], torch.stack([low, high + 0.1 * (high - low)]))


def test_the_machine_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 12, generator=generator)
    y = x[:, 0] + 0.5 * x[:, 1].sign() + 0.3 * torch.randn(300, generator=generator) + 0.4
    for penalty in (0.1, 10.0):
        reference = SVR(kernel="linear", C=penalty, epsilon=EPSILON, tol=1e-5).fit(x.double().numpy(), y.numpy())
        weights, intercept = support_vector_regression(FeatureExamples(x, y, y), y, penalty=penalty)
        np.testing.assert_allclose(weights, reference.coef_[0], atol=0.02)
        assert intercept == pytest.approx(reference.intercept_[0], abs=0.02)


# The contract of heads ------------------------------------------------------------------------------------------------


def test_a_loaded_and_a_pickled_head_say_the_same(cards: list[ExpertCard], tmp_path: Path) -> None:
    data, model = synthetic(), trained(cards, tmp_path, "inducing")
    finish(model, data, ["y"])
    said = model.head.predict(data.part("test"))
    loaded = new_model(cards, targets=["y"], head="inducing")
    loaded.load_state_dict(model.state_dict())
    for other in (loaded.eval(), pickle.loads(pickle.dumps(model.head))):
        head = other.head if isinstance(other, MixtureOfExperts) else other
        for before, after in zip(said, head.predict(data.part("test")), strict=True):
            torch.testing.assert_close(before, after)


def test_validation_rows_teach_nothing_without_refit(cards: list[ExpertCard], tmp_path: Path) -> None:
    found = []
    for shift in (0.0, 100.0):
        model = trained(cards, tmp_path / str(shift), "inducing")
        data = synthetic()
        data.targets[ROWS["val"]] += shift
        model.head.refits = False
        finish(model, data, ["y"])
        found.append(predictions(model, data))
    assert torch.equal(*found)


# Its choice, and memory -----------------------------------------------------------------------------------------------


def test_auto_is_exact_for_few_rows_and_inducing_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    structures, table = load_quickstart()
    given: dict[str, Any] = {"experts": "magpie", "n_members": 1, "max_epochs": 5, "random_state": 0}

    def fitted(**settings: str) -> MoERegressor:
        return MoERegressor(**given, **settings).fit(structures, table["bulk_modulus"])

    few = fitted()
    assert type(few.members_[0].head).name == "kernel"
    np.testing.assert_array_equal(few.predict(structures), fitted(head="kernel").predict(structures))
    for most in ("EXACT_ROWS", "EXACT_ROWS_OF_ALL"):
        monkeypatch.setattr(choice, most, 50)
    many = fitted()
    assert isinstance(many.members_[0].head, InducingHead)
    mean, lower, upper = many.predict(structures, interval=0.9)
    assert np.isfinite(upper - lower).all()
    assert np.abs(mean - table["bulk_modulus"]).mean() < 0.5 * np.abs(table["bulk_modulus"] - mean.mean()).mean()


def test_many_columns_have_fewer_landmarks_and_take_memory_each() -> None:
    assert [n_landmarks(n, 1) for n in (1000, 10_000, 100_000, 200_000, 10**6)] == [1000, 5000, 5000, 2500, 2000]
    assert [n_landmarks(10_000, columns) for columns in (2, 4, 23)] == [3535, 2500, 2000]
    classes = MixtureSettings(classes=["a", "b", "c"])
    assert (classes.n_columns, MixtureSettings(targets=["x", "y"]).n_columns) == (3, 2)
    assert choice.settled(MixtureSettings(), n_rows=10_000).head == "kernel"
    assert [choice.settled(classes, n_rows=n).head for n in (6000, 6001)] == ["kernel", "inducing"]
    by_columns, by_models = (needed_memory("kernel", 6000, width=100, **n) for n in ({"n_columns": 3}, {"n_models": 3}))
    assert by_columns == by_models
    assert needed_memory("kernel", 6000, width=100, n_columns=10) > 8 * 10 * 6000**2


def test_what_cannot_fit_is_refused_before_anything_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * memory.GIB)
    cards = find_cards("magpie")
    assert affordable(MixtureSettings(), cards, n_rows=100_000).head == "inducing"
    with pytest.raises(ValueError, match=r"head kernel needs about 9\d\.\d GiB .* 50000 rows, and 8.0 GiB .* take the"):
        affordable(MixtureSettings(head="kernel"), cards, n_rows=50_000)
    with pytest.raises(ValueError, match=r"learn from \d+00 rows, or take fewer workers$"):
        affordable(MixtureSettings(head="kernel"), cards, n_rows=16_000, n_processes=2)
    with pytest.raises(ValueError, match="or take fewer experts"):
        affordable(MixtureSettings(), find_cards("light"), n_rows=3_000_000)
    with pytest.raises(ValueError, match=r"embedding by 8 workers needs about .* free: take fewer workers"):
        affordable(MixtureSettings(), cards, n_rows=1000, workers=8)
    monkeypatch.setattr(memory, "available_memory", lambda: 1.0)
    structures, table = load_quickstart()
    monkeypatch.setattr("moe_mat.mixture_estimator.embed_crystals", lambda *given: pytest.fail("embedded"))
    with pytest.raises(ValueError, match=r"0\.0 GiB are free"):
        MoERegressor(experts="magpie", n_members=1).fit(structures, table["bulk_modulus"])


def test_what_was_measured_is_not_more_than_what_was_estimated() -> None:
    file = Path(__file__).parents[1] / "benchmarks" / "speed" / "many_labels.json"
    measured = json.loads(file.read_text(encoding="utf-8"))
    width = sum(card.dim for card in find_cards(measured["experts"]))
    points = [one for one in measured["points"] if one["method"] in HEADS.names() and "peak_memory_mib" in one]
    assert {one["method"] for one in points} >= {"inducing", "kernel"}
    for one in points:
        estimate = needed_memory(one["method"], one["labels"], width=width) / 2**20
        assert one["peak_memory_mib"] <= estimate, f"{one['method']} on {one['labels']} labels"


def test_a_hundred_thousand_labels_fit_a_laptop() -> None:
    width = {tag: sum(card.dim for card in find_cards(tag)) for tag in ("local_environment", "light", "default")}
    needed = {tag: needed_memory("inducing", 100_000, width=width[tag]) / memory.GIB for tag in width}
    assert needed["local_environment"] < 5
    assert needed["light"] < 7
    assert needed["default"] < 8
    assert needed_memory("kernel", 100_000, width=width["default"]) > 200 * memory.GIB


def test_features_of_one_kernel_are_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[FeatureExamples]] = []
    examples_of = InducingHead._examples

    def noted(*arguments: Any) -> FeatureExamples:
        assert not any(one() for one in made)
        examples = examples_of(*arguments)
        made.append(weakref.ref(examples))
        return examples

    monkeypatch.setattr(InducingHead, "_examples", noted)
    structures, table = load_quickstart()
    model = MoERegressor("magpie", head="inducing", n_members=1, max_epochs=2, random_state=0)
    model.fit(structures, table["bulk_modulus"])
    assert len(made) >= 4  # both kernels choose learners, and learn


def test_distances_take_as_much_memory_however_many_they_are_measured_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distances.distances_memory(10**6) == distances.distances_memory(10_000) == 12 * distances.MOST_DISTANCES
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 3, generator=generator) for n in (20, 30))
    expected = torch.cdist(a, b).min(1).values, (torch.cdist(b, b) + 9 * torch.eye(30)).min(1).values
    for most in (distances.MOST_DISTANCES, 90, 1):  # all at once, three at a time, and one by one
        monkeypatch.setattr(distances, "MOST_DISTANCES", most)
        torch.testing.assert_close(distances.nearest(a, b), expected[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(distances.nearest_other(b), expected[1], rtol=1e-4, atol=1e-4)


def test_embeddings_left_where_they_are_make_the_same_model() -> None:
    structures, table = load_quickstart()
    settings: dict[str, Any] = {"experts": "magpie", "head": "inducing", "n_members": 1, "max_epochs": 2}
    model = MoERegressor(**settings, random_state=0).fit(structures, table["bulk_modulus"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InducingHead, "by_rows", False)
        copied = MoERegressor(**settings, random_state=0).fit(structures, table["bulk_modulus"])
    np.testing.assert_array_equal(model.predict(structures), copied.predict(structures))
