"""The learners of the kernel head, the kernel on descriptors, and how shares are chosen."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.svm import SVR
from toy_experts import cgcnn_expert
from toy_mixture import embeddings, finish, fit, new_model, predictions, synthetic, target_of

from moe_mat import MoERegressor
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.mixture.heads.descriptor_kernel import FARTHEST, LINEAR, DescriptorKernel, has_quantities
from moe_mat.mixture.heads.ensemble import N_STEPS, out_of_fold, select
from moe_mat.mixture.heads.gaussian_process import GaussianProcess
from moe_mat.mixture.heads.learners import EPSILON, Examples, Learner, TargetColumn, candidates, learn
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ExpertCard]:
    """An expert of width 8, and one of width 6 whose columns count as quantities."""
    monkeypatch.setattr("moe_mat.mixture.heads.descriptor_kernel.has_quantities", lambda card: card.tag == "named")
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("named", 6))]


def column(targets: torch.Tensor, kind: str = "standardise") -> tuple[Examples, TargetColumn]:
    """The targets of 50 crystals in a plane, and their covariance under a process of one gate."""
    transform, process = TargetTransform(kind, ["y"]), GaussianProcess(1)
    transform.fit(targets[:, None])
    places = torch.randn(50, 2, generator=torch.Generator().manual_seed(3))
    covariance = process.covariance_between([places], [places]).detach()
    outputs = transform(targets[:, None])[:, 0]
    bounds = torch.tensor([-1e3, 1e3])
    return Examples({"gated": covariance}, targets, outputs), TargetColumn(transform, 0, bounds, process)


def targets() -> torch.Tensor:
    return torch.randn(50, generator=torch.Generator().manual_seed(4)).exp()


def test_selection_takes_the_best_alone_or_those_whose_errors_cancel() -> None:
    true = torch.zeros(4)
    best, above, below = torch.full((4,), 0.5), torch.full((4,), 1.0), torch.full((4,), -1.0)
    assert select(torch.stack([above, best]), true).tolist() == [0.0, 1.0]
    shares = select(torch.stack([above, best, below]), true)
    assert float(shares.sum()) == pytest.approx(1)
    assert shares[2] > 0
    mean = (shares[:, None] * torch.stack([above, best, below])).sum(0)
    assert float(mean.abs().mean()) < 0.1
    assert float((shares * N_STEPS).frac().abs().max()) < 1e-5


def test_equal_learners_leave_all_to_the_first() -> None:
    assert select(torch.ones(3, 5), torch.zeros(5)).tolist() == [1.0, 0.0, 0.0]


def test_a_process_with_its_own_noise_is_the_process() -> None:
    examples, target = column(targets())
    solution = learn(Learner("gated", False, False, 1.0), examples, target)
    places = torch.randn(50, 2, generator=torch.Generator().manual_seed(3))
    target.process.solve([places], target.clipped(examples.outputs))
    torch.testing.assert_close(solution.dual, target.process.dual)


def test_a_machine_is_scikit_learns() -> None:
    examples, target = column(targets())
    solution = learn(Learner("gated", True, False, 3.0), examples, target)
    covariance = examples.covariances["gated"]
    svr = SVR(kernel="precomputed", C=3.0, epsilon=EPSILON, tol=1e-2).fit(covariance.numpy(), examples.outputs.numpy())
    expected = target.in_unit(torch.from_numpy(svr.predict(covariance.numpy())).float())
    torch.testing.assert_close(solution.predict(covariance, target), expected, atol=1e-3, rtol=1e-3)


def test_a_machine_on_the_root_predicts_in_the_targets_unit() -> None:
    examples, target = column(1e4 * targets(), kind="log")
    target = TargetColumn(target.transform, 0, torch.tensor([0.0, 1e6]), target.process)
    solution = learn(Learner("gated", True, True, 100.0), examples, target)
    predicted = solution.predict(examples.covariances["gated"], target)
    assert float((predicted - examples.targets).abs().median()) < 0.2 * float(examples.targets.median())


def test_out_of_fold_predictions_do_not_see_their_row() -> None:
    examples, target = column(targets())
    learners = [Learner("gated", False, False, 1.0), Learner("gated", True, False, 10.0)]
    before = out_of_fold(learners, examples, target)
    changed = examples.outputs.clone()
    changed[7] += 5
    after = out_of_fold(learners, Examples(examples.covariances, examples.targets, changed), target)
    assert before is not None
    assert after is not None
    torch.testing.assert_close(before[:, 7], after[:, 7])
    assert not torch.allclose(before[:, 8], after[:, 8])


def test_the_root_is_tried_for_skewed_targets_and_descriptors_where_there_are_some() -> None:
    plain = candidates(skewed=False, described=False)
    assert not any(one.root or one.kernel == "descriptors" for one in plain)
    everything = candidates(skewed=True, described=True)
    assert {one.kernel for one in everything if one.root} == {"gated"}
    assert len(everything) == len(set(everything)) == 15


def test_descriptors_and_predictions_have_quantities_and_hidden_layers_have_none() -> None:
    tags = ["magpie", "packing", "jarvis_predictions", "chgnet", "jarvis_band_gap", "mp_body_energy"]
    assert [has_quantities(card) for tag in tags for card in find_cards(tag)] == [True] * 3 + [False] * 3


def test_the_descriptor_kernel_is_a_line_and_a_laplacian(cards: list[ExpertCard]) -> None:
    kernel = DescriptorKernel(cards)
    columns = kernel.columns(3 * embeddings())
    assert columns.shape == (80, 6)
    assert float(columns.abs().max()) == FARTHEST
    kernel.fit(columns[:50])
    x = columns.double().numpy()
    apart = cdist(x, x, "cityblock")
    line = x @ x.T / (x[:50] ** 2).sum(1).mean()
    expected = LINEAR * line + (1 - LINEAR) * np.exp(-apart / np.median(apart[:50, :50]))
    np.testing.assert_allclose(kernel(columns, columns), expected, atol=1e-2)
    assert np.linalg.eigvalsh(expected).min() > -1e-9


def test_the_shares_survive_a_checkpoint_with_two_targets_and_missing_values(
    cards: list[ExpertCard], tmp_path: Path
) -> None:
    x = embeddings()
    both = torch.stack([target_of(x), x[:, 9].tanh()], dim=1)
    both[::7, 1] = torch.nan
    data, model = synthetic(both), new_model(cards, targets=["y", "z"])
    fit(model, data, tmp_path, epochs=10)
    finish(model, data, ["y", "z"])
    shares = [sum(one["share"] for one in model.head.tried if one["target"] == number) for number in (0, 1)]
    assert shares == pytest.approx([1, 1])
    assert any(one["share"] for one in model.head.tried if one["kernel"] == "descriptors")
    known = predictions(model, data)
    assert known.isfinite().all()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = new_model(cards, targets=["y", "z"])
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    torch.testing.assert_close(predictions(other, data), known)
    with torch.no_grad():
        said, expected = other.eval().say(data.part("test")), model.say(data.part("test"))
        torch.testing.assert_close(other.intervals.bounds(said, 0.9), model.intervals.bounds(expected, 0.9))
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(data.part("test")), known)


def test_a_pickled_estimator_predicts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "cache"))
    structures, table = load_quickstart()
    model = MoERegressor(["magpie", "packing"], n_members=1, max_epochs=10, random_state=0)
    model.fit(structures, table["bulk_modulus"])
    assert {one["kernel"] for one in model.tried_[0]} == {"gated", "descriptors"}
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict(structures), model.predict(structures), rtol=1e-6)
    with np.errstate(all="raise"):
        assert (model.predict(structures, return_std=True)[1] > 0).all()
