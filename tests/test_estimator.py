"""The scikit-learn estimator: what scikit-learn asks of it, and what a user does with it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from one_cache import cache_folder, warm_cache  # noqa: F401
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

from moe_mat import MoERegressor
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.crystals.errors import CrystalError
from moe_mat.mixture.settings import MixtureSettings

Data = tuple[list[Structure], NDArray[np.float64]]


@pytest.fixture(scope="module")
def data() -> Data:
    structures, table = load_quickstart()
    return structures[:24], table["bulk_modulus"].to_numpy()[:24]


def regressor(**settings: Any) -> MoERegressor:
    known: dict[str, Any] = {"experts": ["magpie", "structure_features"], "n_members": 2, "max_epochs": 3}
    return MoERegressor(**{**known, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def fitted(data: Data) -> MoERegressor:
    return regressor().fit(*data)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_the_checks_of_scikit_learn_that_need_no_array(check: Callable[[str, MoERegressor], None]) -> None:
    check("MoERegressor", MoERegressor())


def test_a_clone_is_unfitted_and_equal(fitted: MoERegressor, data: Data) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(data[0])


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_a_seed_decides_everything_and_a_second_fit_forgets_the_first(head: str, data: Data) -> None:
    structures, values = data
    model = regressor(head=head).fit(structures, values)
    torch.manual_seed(99)
    first = model.predict(structures)
    model.fit(structures[:15], values[:15])
    np.testing.assert_array_equal(model.fit(structures, values).predict(structures), first)
    assert (regressor(head=head, random_state=1).fit(structures, values).predict(structures) != first).any()


def test_the_callers_random_state_is_left_alone(data: Data) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    regressor().fit(*data)
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_a_pickled_model_predicts_the_same(head: str, data: Data) -> None:
    structures, values = data
    model = regressor(head=head).fit(structures, values)
    copy = pickle.loads(pickle.dumps(model))
    for before, after in zip(
        model.predict(structures, return_std=True), copy.predict(structures, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_cross_validation_and_grid_search(data: Data) -> None:
    structures, values = data
    assert np.isfinite(cross_val_score(regressor(), structures, values, cv=2)).all()
    search = GridSearchCV(regressor(), {"n_gates": [1, 2]}, cv=2).fit(structures, values)
    assert search.best_params_["n_gates"] in (1, 2)
    assert search.predict(structures).shape == values.shape


def test_crystals_come_in_any_container(fitted: MoERegressor, data: Data) -> None:
    structures, _ = data
    expected = fitted.predict(structures)
    atoms = [AseAtomsAdaptor.get_atoms(structure) for structure in structures]
    series = pd.Series(structures, index=range(100, 124))
    for crystals in (atoms, series, series.to_numpy(), pd.DataFrame({"structure": series, "formula": "?"})):
        np.testing.assert_allclose(fitted.predict(crystals), expected, rtol=1e-4)


def test_the_order_of_the_crystals_does_not_matter(fitted: MoERegressor, data: Data) -> None:
    structures = data[0]
    np.testing.assert_allclose(fitted.predict(structures[::-1]), fitted.predict(structures)[::-1], rtol=1e-4)
    np.testing.assert_allclose(fitted.predict(structures[3:5]), fitted.predict(structures)[3:5], rtol=1e-4)


def test_score_is_r2_of_the_prediction(fitted: MoERegressor, data: Data) -> None:
    structures, values = data
    assert fitted.score(structures, values) == pytest.approx(r2_score(values, fitted.predict(structures)))


def test_the_default_head_learns() -> None:
    structures, table = load_quickstart()
    values = table["bulk_modulus"].to_numpy()
    train, test = ([row for row in range(len(values)) if (row % 4 == 0) == held_out] for held_out in (False, True))
    model = regressor(max_epochs=None, n_members=1).fit([structures[row] for row in train], values[train])
    error = np.abs(model.predict([structures[row] for row in test]) - values[test]).mean()
    assert error < 0.5 * np.abs(values[test] - np.median(values[train])).mean()


def test_gate_weights_name_the_experts_and_sum_to_1(fitted: MoERegressor) -> None:
    assert list(fitted.gate_weights_.index) == ["magpie", "structure_features"]
    assert fitted.gate_weights_.min() >= 0
    assert fitted.gate_weights_.sum() == pytest.approx(1, abs=1e-6)


def test_the_mixed_embedding_has_one_row_a_crystal(fitted: MoERegressor, data: Data) -> None:
    embedding = fitted.transform(data[0])
    assert len(embedding) == len(data[0])
    assert np.isfinite(embedding).all()
    np.testing.assert_allclose(fitted.transform(data[0][:2]), embedding[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_the_standard_deviation_is_positive(head: str, data: Data) -> None:
    structures, values = data
    mean, std = regressor(head=head).fit(structures, values).predict(structures, return_std=True)
    assert mean.shape == std.shape == values.shape
    assert (std > 0).all()


def test_doubt_grows_far_from_the_data() -> None:
    structures, table = load_quickstart()
    metals = [row for row, s in enumerate(structures) if s[0].specie.is_transition_metal]
    model = regressor(target_transform="standardise", max_epochs=20)
    model.fit([structures[row] for row in metals], table["bulk_modulus"].to_numpy()[metals])
    salt = Structure(Lattice.cubic(4.12), ["Cs", "F"], [[0, 0, 0], [0.5] * 3])
    _, near = model.predict([structures[row] for row in metals], return_std=True)
    _, far = model.predict([salt], return_std=True)
    assert far[0] > 1.5 * near.max()


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_several_targets_with_gaps(head: str, data: Data) -> None:
    structures, values = data
    targets = np.stack([values, 1000 - values], axis=1)
    targets[::3, 1] = np.nan
    mean, std = regressor(head=head).fit(structures, targets).predict(structures, return_std=True)
    assert mean.shape == std.shape == (24, 2)
    assert np.isfinite(mean).all()
    # Each column is in its own unit.
    assert abs(np.median(mean[:, 1]) - np.nanmedian(targets[:, 1])) < 300
    assert np.median(mean[:, 0]) < np.median(mean[:, 1])


def test_a_search_reaches_every_setting(data: Data) -> None:
    structures, values = data
    model = regressor(head="mlp", n_members=1, max_epochs=2)
    search = GridSearchCV(model, {"hidden": [[4], [5, 3]], "temperature": [0.5]}, cv=2, error_score="raise")
    best = search.fit(structures, values).best_estimator_
    widths = [layer.out_features for layer in best.members_[0].head.network if hasattr(layer, "out_features")]
    assert widths == [*search.best_params_["hidden"], 1]
    assert best.members_[0].head.gate.temperature == 0.5
    settings = {one.name for one in fields(MixtureSettings)} - {"targets", "classes", "units"}
    assert settings <= set(model.get_params())
    assert {name: getattr(MoERegressor(), name) for name in settings} == {
        name: getattr(MixtureSettings(), name) for name in settings
    }


def test_one_column_stays_a_column(data: Data) -> None:
    structures, values = data
    assert regressor().fit(structures, values[:, None]).predict(structures).shape == (24, 1)


def test_a_given_validation_set_is_not_trained_on_by_chance(data: Data) -> None:
    structures, values = data
    model = regressor(n_members=1, max_epochs=2, head="mlp", dropout=0.0)
    model.fit(structures[:18], values[:18], validation=(structures[18:], values[18:]))
    error = np.abs(model.predict(structures[18:]) - values[18:]).mean()
    assert model.validation_mae_ == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"y": np.ones(5)}, "24 crystals need targets"),
        ({"y": np.r_[np.ones(23), np.inf]}, "target of crystal 23 is infinite"),
        ({"y": np.r_[np.nan, np.ones(23)]}, "crystal 0 has no target value"),
        ({"n_members": 0}, "n_members is 0"),
        ({"head": "tree"}, "unknown head 'tree'; known: inducing, kernel, mlp"),
        ({"gate": "crystal"}, "head 'kernel' has no setting gate"),
        ({"hidden": [3]}, "head 'kernel' has no setting hidden"),
        ({"head_settings": {"depth": 3}}, "head 'kernel' has no setting depth"),
        ({"gate": "none", "head": "mlp"}, "unknown gate 'none'"),
        ({"experts": "magpi"}, "no expert 'magpi'.*magpie"),
        ({"hiden": [3]}, "hiden"),
        ({"validation_fraction": 0.0}, "too few to split"),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_mistakes_are_named(change: dict[str, Any], problem: str, data: Data) -> None:
    structures, values = data
    values = change.pop("y", values)
    with pytest.raises((ValueError, TypeError), match=problem):
        regressor(**change).fit(structures, values)


def test_bad_crystals_are_named(fitted: MoERegressor, data: Data) -> None:
    structures, values = data
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(CrystalError, match=r"2.*site 0 .*disordered"):
        fitted.predict([*structures[:2], mixed])
    with pytest.raises(ValueError, match="no column 'structure' or 'formula' but name"):
        fitted.predict(pd.DataFrame({"name": ["NaCl"]}))
    with pytest.raises(CrystalError, match=r"number 0.*'salt'"):
        regressor().fit(["salt"] * 24, values)


def test_an_element_that_an_expert_does_not_know_is_named(data: Data) -> None:
    model = regressor(experts="chgnet", n_members=1, max_epochs=1).fit(data[0][:8], data[1][:8])
    og = Structure(Lattice.cubic(6), ["Og"], [[0, 0, 0]])
    with pytest.raises(CrystalError, match=r"crystal 1 \(Og\).*expert chgnet: .*Og"):
        model.predict([data[0][0], og])


def test_an_expert_that_does_not_know_an_element_is_left_out_where_asked(
    data: Data, caplog: pytest.LogCaptureFixture
) -> None:
    structures = [*data[0][:20], Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])]
    settings: dict[str, Any] = {"n_members": 1, "max_epochs": 2, "random_state": 0}
    model = MoERegressor(["magpie", "chgnet_conv1"], on_unknown_element="drop_expert", **settings)
    model.fit(structures, [*data[1][:20], 40.0])
    assert "expert chgnet_conv1 is left out, because it does not know Po (in 1 crystals)" in caplog.text
    assert model.experts_ == ["magpie"]
    alone = MoERegressor("magpie", **settings).fit(structures, [*data[1][:20], 40.0])
    np.testing.assert_array_equal(model.predict(structures), alone.predict(structures))
    with pytest.raises(ValueError, match="no expert is left: expert chgnet_conv1"):
        MoERegressor("chgnet_conv1", on_unknown_element="drop_expert").fit(structures, [*data[1][:20], 40.0])


def test_a_target_is_called_by_its_name(data: Data) -> None:
    values = pd.Series(data[1], name="bulk modulus") * -1
    with pytest.raises(ValueError, match=r"target bulk modulus has .* training values that are not positive"):
        MoERegressor("magpie", target_transform="log", n_members=1).fit(data[0], values)


def test_one_crystal_is_a_list_of_one(fitted: MoERegressor, data: Data) -> None:
    assert np.array_equal(fitted.predict(data[0][0]), fitted.predict(data[0][:1]))
