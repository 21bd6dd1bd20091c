"""Weights: how much crystals count in learning, in every head, in the estimator and on the command line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from one_cache import cache_folder, warm_cache  # noqa: F401
from pymatgen.core import Structure
from sklearn import config_context
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVR

from moe_mat import MoERegressor, load_expert
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.crystals.errors import CrystalError
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.heads.gaussian_process import GaussianProcess
from moe_mat.mixture.heads.learners import EPSILON
from moe_mat.mixture.heads.linear_machines import FeatureExamples, ridge, support_vector_regression
from moe_mat.mixture.heads.mlp import masked_loss
from moe_mat.mixture.settings import DataSettings

Data = tuple[list[Structure], NDArray[np.float64]]
HEADS = ("kernel", "inducing", "mlp")


@pytest.fixture(scope="module")
def data() -> Data:
    structures, table = load_quickstart()
    return structures[:24], table["bulk_modulus"].to_numpy()[:24]


def regressor(**settings: Any) -> MoERegressor:
    known: dict[str, Any] = {"experts": "magpie", "n_members": 1, "max_epochs": 2, "random_state": 0}
    return MoERegressor(**{**known, **settings})


@pytest.mark.parametrize("head", HEADS)
def test_equal_weights_are_none_and_others_are_not(head: str, data: Data) -> None:
    structures, values = data
    without = regressor(head=head).fit(structures, values).predict(structures)
    equal = regressor(head=head).fit(structures, values, sample_weight=np.full(24, 0.7)).predict(structures)
    weights = np.random.default_rng(0).uniform(0.1, 2, 24)
    unequal = regressor(head=head).fit(structures, values, weights).predict(structures)
    assert np.array_equal(without, equal)
    assert not np.allclose(without, unequal, rtol=1e-4)


def test_a_weight_of_zero_leaves_a_crystal_out(data: Data) -> None:
    structures, values = data
    weights = np.r_[np.zeros(4), np.ones(10), np.full(10, 2.0)]
    values = np.r_[[np.nan], values[1:]]  # what is left out needs no value
    zero = regressor().fit(structures, values, weights).predict(structures)
    less = regressor().fit(structures[4:], values[4:], 8 * weights[4:]).predict(structures)  # ratios matter alone
    assert np.array_equal(zero, less)


def test_what_weighs_little_is_followed_less(data: Data) -> None:
    structures, values = data
    wrong = values + np.where(np.arange(24) % 4 == 0, 300.0, 0.0)
    doubtful = np.where(np.arange(24) % 4 == 0, 0.01, 1.0)
    right = np.arange(24) % 4 != 0
    errors = [
        np.abs(regressor(max_epochs=10).fit(structures, wrong, weights).predict(structures) - values)[right].mean()
        for weights in (None, doubtful)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_weights_divide_the_noise_of_the_process() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, new = (torch.randn(shape, generator=generator) for shape in ((20, 3), (20,), (5, 3)))
    weights = torch.rand(20, generator=generator) + 0.1
    process = GaussianProcess(1)
    process.solve([x], y, weights)
    noise = math.exp(float(process.log_noise.detach()))
    reference = GaussianProcessRegressor(
        Matern(math.sqrt(3) / math.sqrt(3), nu=1.5), alpha=noise / weights.numpy() + 1e-4, optimizer=None
    )
    mean, std = reference.fit(x.numpy(), y.numpy()).predict(new.numpy(), return_std=True)
    with torch.no_grad():
        said = process(process.to_support([new])).numpy()
    assert said == pytest.approx(mean, abs=2e-4)
    assert process.std(process.to_support([new])).numpy() == pytest.approx(np.sqrt(std**2 + noise), abs=1e-3)
    again = GaussianProcess(1)
    again.load_state_dict(process.state_dict())
    assert torch.equal(again.weights, weights)
    again.load_state_dict(GaussianProcess(1).state_dict())  # of a model without
    assert again.weights is None


def test_weights_in_the_likelihood_are_the_noise_of_each() -> None:
    y, squared = torch.randn(6, generator=torch.Generator().manual_seed(1)), torch.zeros(6, 6)
    process, weights = GaussianProcess(1), torch.tensor([1.0, 2.0, 0.5, 1.0, 4.0, 1.0])
    covariance = process.covariance([squared]) + torch.diag(process.log_noise.exp() / weights + 1e-4)
    normal = torch.distributions.MultivariateNormal(torch.zeros(6), covariance)
    differences = [
        float(process.negative_log_likelihood([squared], values, weights) + normal.log_prob(values) / 6)
        for values in (y, 2 * y)
    ]
    assert differences[0] == pytest.approx(differences[1], abs=1e-4)  # the prior and the constant


def test_machines_on_features_follow_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    y = x @ torch.tensor([1.0, -0.5, 0.2, 0.0]) + 0.3 * torch.randn(60, generator=generator)
    weights = torch.rand(60, generator=generator) * 3
    examples = FeatureExamples(x, y, y, weights)
    found, intercept = support_vector_regression(examples, y, penalty=1.0)
    svr = SVR(kernel="linear", C=1.0, epsilon=EPSILON).fit(x.numpy(), y.numpy(), sample_weight=weights.numpy())
    assert found.numpy() == pytest.approx(svr.coef_[0], abs=0.03)
    assert intercept == pytest.approx(float(svr.intercept_[0]), abs=0.03)
    solved = ridge(examples.weighted_gram, examples.times(y * weights), torch.tensor(0.5, dtype=torch.double))
    double = x.double()
    normal = double.T @ (weights.double()[:, None] * double) + 0.5 * torch.eye(4, dtype=torch.double)
    assert torch.allclose(solved, torch.linalg.solve(normal, double.T @ (weights * y).double()), atol=1e-5)


def test_a_loss_counts_crystals_by_weight() -> None:
    outputs, targets = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, float("nan")], [0.0, 1.0]])
    loss = masked_loss("mae", outputs, targets, torch.tensor([0.5, 1.5]))
    assert float(loss) == pytest.approx((0.5 * 1 + 1.5 * 3 + 1.5 * 1) / 3)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        (np.ones(5), r"24 crystals need sample_weight of shape \[n\]"),
        (np.ones((24, 1)), r"not of shape \(24, 1\)"),
        (np.r_[np.ones(23), -1.0], "sample_weight of crystal 23 is -1.0"),
        (np.r_[np.nan, np.ones(23)], "sample_weight of crystal 0 is nan"),
        (np.r_[np.inf, np.ones(23)], "sample_weight of crystal 0 is inf"),
        (np.zeros(24), "0 for all crystals"),
        (["heavy"] * 24, "no number"),
        ("weight", "'weight' names a column, and the crystals are not those of a file"),
    ],
    ids=str,
)
def test_wrong_weights_are_named(weights: Any, problem: str, data: Data) -> None:
    with pytest.raises(ValueError, match=problem):
        regressor().fit(*data, sample_weight=weights)


def test_weights_go_through_scikit_learn(data: Data) -> None:
    structures, values = data
    weights = np.where(np.arange(24) % 2, 1.0, 0.01)
    model = regressor(head="mlp")
    plain = cross_val_score(model, structures, values, cv=2)
    weighted = cross_val_score(model, structures, values, cv=2, params={"sample_weight": weights})
    assert not np.array_equal(plain, weighted)
    with config_context(enable_metadata_routing=True):
        routed = cross_val_score(
            clone(model).set_fit_request(sample_weight=True).set_score_request(sample_weight=False),
            structures,
            values,
            cv=2,
            params={"sample_weight": weights},
        )
    assert np.array_equal(routed, weighted)
    search = GridSearchCV(model, {"dropout": [0.0]}, cv=2).fit(structures, values, sample_weight=weights)
    assert search.best_score_ <= 1


def test_a_score_leaves_out_what_has_no_value(data: Data) -> None:
    structures, values = data
    weights = np.linspace(0.0, 2.0, 24)
    model = regressor().fit(structures, values)
    gaps = np.where(np.arange(24) < 3, np.nan, values)
    said = model.predict(structures)
    assert model.score(structures, gaps) == pytest.approx(r2_score(values[3:], said[3:]))
    assert model.score(structures, values, weights) == pytest.approx(r2_score(values, said, sample_weight=weights))
    two = regressor().fit(structures, np.c_[values, -values])
    several = np.c_[gaps, np.where(np.arange(24) > 20, np.nan, -values)]
    said = two.predict(structures)
    expected = (r2_score(values[3:], said[3:, 0]) + r2_score(-values[:21], said[:21, 1])) / 2
    assert two.score(structures, several) == pytest.approx(expected)
    with pytest.raises(ValueError, match="no target has two values"):
        model.score(structures[:2], [1.0, np.nan])
    with pytest.raises(ValueError, match="target of crystal 1 is infinite"):
        model.score(structures[:2], [1.0, np.inf])


@pytest.fixture
def table(data: Data, tmp_path: Path) -> Path:
    structures, values = data
    for number, structure in enumerate(structures):
        structure.to(str(tmp_path / f"c{number}.cif"))
    weights = [0.0, *np.linspace(0.5, 2, 23)]
    frame = pd.DataFrame({"file": [f"c{n}.cif" for n in range(24)], "k": values, "w": weights})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_crystals_come_as_files(table: Path, data: Data) -> None:
    model = regressor().fit(table, "k", sample_weight="w")
    by_path = model.predict(str(table))
    assert by_path.shape == (24,)
    assert model._targets == ["k"]
    assert np.array_equal(model.predict(table.parent), model.predict([table.parent / f"c{n}.cif" for n in range(24)]))
    assert model.predict(table.parent / "c3.cif")[0] == pytest.approx(by_path[3], rel=1e-4)
    assert model.predict(data[0][3])[0] == pytest.approx(by_path[3], rel=1e-3)
    assert model.score(table, "k", sample_weight="w") > 0
    assert len(model.domain(table)) == len(model.transform(table)) == 24
    assert load_expert("magpie").embed(table.parent / "c3.cif").shape == (1, 132)
    with pytest.raises(ValueError, match="has no column 'kk'"):
        model.score(table, "kk")
    with pytest.raises(FileNotFoundError, match=r"no file or folder nowhere\.csv"):
        model.predict("nowhere.csv")


def test_a_column_of_weights_is_checked(table: Path) -> None:
    def data(**settings: Any) -> CrystalDataModule:
        given = {"path": str(table), "target": "k", "weight_column": "w", "split": 0, **settings}
        return CrystalDataModule(DataSettings(**given), experts="magpie")

    whole = data()
    whole.setup("fit")
    assert whole.weights is not None
    assert float(whole.weights[whole.rows["train"]].mean()) == pytest.approx(1, rel=1e-5)
    assert sum(map(len, whole.rows.values())) == (24 if "c0" in [whole.ids[row] for row in whole.rows["test"]] else 23)
    with pytest.raises(ValueError, match="weight_column is 'weight', which is no column of the data"):
        data(weight_column="weight").setup("fit")
    frame = pd.read_csv(table).assign(w=["heavy", "-1", *["1"] * 21, None])
    frame.to_csv(table, index=False)
    with pytest.raises(CrystalError, match=r"crystal 'c0', column 'w': the weight is 'heavy'"):
        data().setup("fit")
    skipping = data(on_error="skip")
    skipping.setup("fit")
    assert [one.material_id for one in skipping.left_out] == ["c0", "c1", "c23"]
    assert skipping.weights is None  # the others are alike
