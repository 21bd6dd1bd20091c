"""The classifier: what scikit-learn asks of it, and what a user does with it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from one_cache import cache_folder, warm_cache  # noqa: F401
from pymatgen.core import Structure
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.utils import estimator_checks

from moe_mat import MoEClassifier, MoERegressor
from moe_mat.crystals.datasets import load_quickstart


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    return load_quickstart()[0]


@pytest.fixture(scope="module")
def moduli() -> NDArray[np.float64]:
    return load_quickstart()[1]["bulk_modulus"].to_numpy()


def classifier(**settings: Any) -> MoEClassifier:
    return MoEClassifier(**{"experts": "magpie", "n_members": 1, "max_epochs": 3, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def fitted(structures: list[Structure], moduli: NDArray[np.float64]) -> MoEClassifier:
    """Of three classes."""
    return classifier().fit(structures[:44], kinds(moduli)[:44])


def kinds(moduli: NDArray[np.float64]) -> NDArray[np.object_]:
    return np.array(["soft", "medium", "hard"], dtype=object)[np.digitize(moduli, [40, 120])]


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_the_checks_of_scikit_learn_that_need_no_array(check: Callable[[str, MoEClassifier], None]) -> None:
    check("MoEClassifier", MoEClassifier())


def test_it_is_a_classifier_with_the_settings_of_the_regressor() -> None:
    assert is_classifier(MoEClassifier())
    assert MoEClassifier().get_params() == MoERegressor().get_params()


def test_probabilities_sum_to_one_and_the_class_is_the_most_probable(
    fitted: MoEClassifier, structures: list[Structure], moduli: NDArray[np.float64]
) -> None:
    assert fitted.classes_.tolist() == ["hard", "medium", "soft"]
    said = fitted.predict_proba(structures)
    assert said.shape == (58, 3)
    np.testing.assert_allclose(said.sum(1), 1)
    np.testing.assert_array_equal(fitted.predict(structures), fitted.classes_[said.argmax(1)])
    assert fitted.score(structures[44:], kinds(moduli)[44:]) > 0.6
    assert fitted.gate_weights_.sum() == pytest.approx(1)
    assert 0 < fitted.validation_log_loss_ < 2
    assert list(fitted.domain(structures[:2]).columns) == ["percentile", "outside"]
    assert fitted.transform(structures[:2]).shape[0] == 2
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(structures), said)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(structures)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_labels_of_any_type_and_two_classes(
    head: str, structures: list[Structure], moduli: NDArray[np.float64]
) -> None:
    hard = pd.Series(moduli > 100, name="hard")
    settings: dict[str, Any] = {"head": head, "max_epochs": 3 if head == "kernel" else 30}
    model = classifier(**settings).fit(structures[:40], hard[:40])
    assert model.predict(structures).dtype == bool
    assert roc_auc_score(hard[40:], model.predict_proba(structures[40:])[:, 1]) > 0.8
    if head == "kernel":
        numbered = classifier(**settings).fit(structures[:40], hard[:40].astype(int) + 7)
        assert numbered.classes_.tolist() == [7, 8]
        np.testing.assert_array_equal(numbered.predict_proba(structures), model.predict_proba(structures))


def test_a_rare_class_and_one_that_validation_rows_lack(
    structures: list[Structure], moduli: NDArray[np.float64]
) -> None:
    labels = kinds(moduli)
    labels[0] = "unique"
    model = classifier().fit(structures[:40], labels[:40])
    assert (model.predict_proba(structures)[:, 3] > 0).all()
    few = [row for row in range(40, 58) if labels[row] == "soft"][:5]
    model.fit(structures[:40], labels[:40], validation=([structures[row] for row in few], labels[few]))
    assert np.isfinite(model.predict_proba(structures)).all()


def test_cross_validation(structures: list[Structure], moduli: NDArray[np.float64]) -> None:
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(classifier(), structures, moduli > 100, cv=folds, scoring="roc_auc")
    assert (scores > 0.7).all()


def test_what_cannot_be_learned_is_refused(structures: list[Structure], moduli: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"all 3 crystals are of the class a"):
        classifier().fit(structures[:3], ["a", "a", "a"])
    with pytest.raises(ValueError, match="crystal 1 has no class label"):
        classifier().fit(structures[:3], ["a", None, "b"])
    with pytest.raises(ValueError, match=r"3 crystals need class labels \[n\]"):
        classifier().fit(structures[:3], [["a"], ["b"], ["a"]])
    with pytest.raises(ValueError, match="class c are in the validation rows alone"):
        classifier().fit(structures[:2], ["a", "b"], validation=(structures[2:4], ["a", "c"]))
    with pytest.raises(ValueError, match="classes have none"):
        classifier(target_transform="log").fit(structures[:2], ["a", "b"])
