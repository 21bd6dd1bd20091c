"""The mixture as a scikit-learn classifier: crystals in, classes and their probabilities out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.given import Crystals
from moe_mat.explain.estimators import ExplainsCrystals
from moe_mat.mixture.class_probabilities import indicators
from moe_mat.mixture.labelled import Known, Targets, Validation, Weights, given_labels, labelled, labelled_parts
from moe_mat.mixture_estimator import MixtureEstimator
from moe_mat.suggest.classifier import SuggestingClassifier
from moe_mat.suggest.measured import Measured


class MoEClassifier(ExplainsCrystals, ClassifierMixin, MixtureEstimator, SuggestingClassifier):
    """Mixture-of-experts classification of crystals.

    Gates and heads are those of `moe_mat.MoERegressor`, and learn of each class whether a crystal is of it. How
    probable a class is at a score is learned from crystals that were scored before they were learned from.

    Args are those of `moe_mat.MoERegressor`; a class has no ``target_transform``, which stays ``auto``.

    Attributes:
        classes_: The class labels, in order.
        experts_: The experts that are used, as names that find them.
        gate_weights_: Weight of each expert, the mean over classes and members; sums to 1.
        validation_log_loss_: Mean validation log loss of the members.
        tried_: As of `moe_mat.MoERegressor`; ``cv_mae`` is that of the scores.

    Example:
        >>> from moe_mat.crystals.datasets import load_quickstart
        >>> structures, table = load_quickstart()
        >>> hard = table["bulk_modulus"] > 100
        >>> model = MoEClassifier(experts="magpie", n_members=1, max_epochs=5, random_state=0).fit(structures, hard)
        >>> model.predict(structures[:2]).dtype, model.predict_proba(structures[:2]).shape
        (dtype('bool'), (2, 2))
    """

    def fit(
        self, X: Crystals, y: Targets, sample_weight: Weights = None, *, validation: Validation | None = None
    ) -> MoEClassifier:
        """Train on crystals.

        Args:
            X: As of `moe_mat.MoERegressor.fit`.
            y: Class labels ``[n]``, of any type; or the column of a file that has them.
            sample_weight: As of `moe_mat.MoERegressor.fit`.
            validation: Crystals, labels and perhaps weights that choose epoch and settings; without them, each member
                sets a random part of ``X`` aside, with its share of each class.

        Raises:
            CrystalError: When a crystal cannot be used; names its position.
            ValueError: When lengths differ, a label is missing, there is one class alone, or ``validation`` has one
                that ``y`` has not.
        """
        self._check_settings()
        parts = labelled_parts(X, y, sample_weight, validation, kind="class")
        labels = [given_labels(part.values, len(part.structures)) for part in parts]
        self.classes_ = np.unique(labels[0])
        if len(self.classes_) < 2:
            raise ValueError(
                f"all {len(labels[0])} crystals are of the class {self.classes_[0]}: there is nothing to learn"
            )
        known = Known(parts, torch.cat([self._targets_of(of_part) for of_part in labels]))
        self._train(known, list(map(str, self.classes_.tolist())))
        self._note_names(parts[0].names)
        self._measured = Measured(known.structures, known.targets.double().numpy())
        self.validation_log_loss_ = self.members_.validation_error
        return self

    def _targets_of(self, labels: NDArray[Any]) -> torch.Tensor:
        numbers = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        if (unknown := self.classes_[numbers] != labels).any():
            raise ValueError(f"crystals of the class {labels[unknown][0]} are in the validation rows alone")
        return indicators(torch.from_numpy(numbers), len(self.classes_))

    def predict_proba(self, X: Crystals) -> NDArray[np.float64]:
        """Probabilities of the classes ``[n, n_classes]``, in the order of ``classes_``.

        They are calibrated on crystals before these were learned from, and hold for crystals that are drawn as those of
        the training were; `domain` says which are not.

        Args:
            X: As in `fit`.
        """
        said = self._say(X)
        assert self.members_.probabilities is not None
        return self.members_.probabilities(said.predicted.values).numpy()

    def predict(self, X: Crystals) -> NDArray[Any]:
        """The most probable class of each crystal ``[n]``; arguments as of `predict_proba`."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def score(self, X: Crystals, y: Targets, sample_weight: Weights = None) -> float:
        """Share of the crystals whose class is predicted.

        Args:
            X: As in `fit`.
            y: As in `fit`.
            sample_weight: How much each crystal counts in it ``[n]``, or a column of a file.
        """
        known = labelled(X, y, sample_weight, kind="class")
        right = self.predict(known.structures) == given_labels(known.values, len(known.structures))
        return float(np.average(right, weights=known.weights))

    def domain(self, X: Crystals) -> pd.DataFrame:
        """How far crystals are from those that were learned from: ``percentile`` and ``outside``.

        See `moe_mat.MoERegressor.domain`; of several classes, each of which has gates of its own, the percentile is the
        mean.
        """
        return self._say(X).domain([""])
