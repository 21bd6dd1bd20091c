"""The mixture as a scikit-learn estimator: crystals in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from moe_mat.crystals.given import Crystals
from moe_mat.explain.estimators import ExplainsCrystals
from moe_mat.mixture.determination import r2
from moe_mat.mixture.labelled import Known, Targets, Validation, Weights, labelled, labelled_parts
from moe_mat.mixture_estimator import MixtureEstimator
from moe_mat.suggest.measured import Measured
from moe_mat.suggest.regressor import SuggestingRegressor


class MoERegressor(ExplainsCrystals, RegressorMixin, MixtureEstimator, SuggestingRegressor):
    """Mixture-of-experts regression on crystals.

    Crystals are embedded once by frozen experts and cached; then a few gates and heads are trained on the embeddings,
    each on another random part of the data, and averaged. Intervals come from errors that they made on new crystals.

    Args:
        experts: Tags, patterns or folders of cards, or the tiers ``"light"``, ``"default"`` and ``"all"``;
            of formulas each of these means ``"composition"``, the experts that need no structure.
        head: ``"kernel"``, ``"inducing"``, ``"auto"`` for either by the number of labels, ``"mlp"``, or another one.
        n_members: Number of gates and heads.
        target_transform: What the head learns of the target: ``auto``, ``none``, ``standardise``, ``log`` or ``asinh``.
        n_gates: See `moe_mat.mixture.settings.GateSettings`, as for the next five.
        top_k: Number of experts that each gate uses; ``None`` for all.
        temperature: Of the gate's softmax.
        gate_learning_rate: Of the gate.
        initial_gate: Tag to weight at the start.
        frozen_gate: Whether the gate keeps these weights.
        gate: See `moe_mat.mixture.settings.PerceptronSettings`, as for all that follow here and belong to ``mlp``.
        width: Common width of the projected embeddings.
        orthogonality: Strength of the penalty on gates that choose alike.
        load_balance: Strength of the penalty on experts that are left unused.
        hidden: Widths of the hidden layers.
        activation: Of the hidden layers.
        dropout: After each hidden layer.
        loss: ``mse``, ``mae`` or ``huber``.
        learning_rate: Of projections and head.
        weight_decay: Of AdamW.
        trainable: What is trained of the experts.
        tuning_rate: Learning rate of that.
        tune_from_epoch: Epoch from which on it is trained.
        head_settings: Settings of a head of another package that have no name here.
        batch_size: Crystals in a batch of an ``mlp`` head.
        max_epochs: Largest number of epochs; ``None`` for the usual one of the head.
        patience: Epochs without a better validation MAE after which training stops.
        validation_fraction: Share of the crystals that choose the epoch of each member.
        refit: Whether a member then learns from these too, if its head can.
        on_unknown_element: ``"refuse"`` takes a crystal with an element that some expert does not know for one that
            cannot be used; ``"drop_expert"`` fits without that expert, and says so.
        n_jobs: Processes that embed crystals, each with its own copy of the experts; -1 for all cores. Predictions do
            not depend on it.
        device: See `moe_mat.mixture.settings.TrainingSettings`.
        random_state: Seed or generator.

    Attributes:
        experts_: The experts that are used, as names that find them.
        gate_weights_: Weight of each expert, the mean over members; sums to 1.
        validation_mae_: Mean validation MAE of the members, in the target's unit (several: in units of their spread).
        tried_: Learners of the kernel head that cross-validation compared, a list of each member; ``cv_mae`` in the
            target's unit, and ``share`` in the prediction.
        n_targets_: Number of targets.

    Example:
        >>> from moe_mat.crystals.datasets import load_quickstart
        >>> structures, table = load_quickstart()
        >>> model = MoERegressor(experts="magpie", n_members=2, max_epochs=5, random_state=0)
        >>> model.fit(structures, table["bulk_modulus"]).predict(structures[:3]).shape
        (3,)
    """

    def fit(
        self, X: Crystals, y: Targets, sample_weight: Weights = None, *, validation: Validation | None = None
    ) -> MoERegressor:
        """Train on crystals.

        Args:
            X: Structures, atoms, formulas, compositions or paths of structure files ``[n]``; one of these; a DataFrame
                with a column ``structure`` or ``formula``; or a path of crystals, as `moe_mat.read_structures` reads
                them.
            y: Targets ``[n]`` or ``[n, n_targets]``, NaN where there is no value; or columns of a file.
            sample_weight: How much each crystal counts in learning ``[n]``, or a column of a file. Only ratios matter;
                0 leaves a crystal out. See docs/training.md.
            validation: Crystals, targets and perhaps weights that choose epoch and settings, in place of a random part.

        Raises:
            CrystalError: When a crystal cannot be used; names its position.
            ValueError: When lengths differ, values are infinite, too few crystals have one, or weights are wrong.
        """
        self._check_settings()
        parts = labelled_parts(X, y, sample_weight, validation)
        known = Known(parts, torch.cat([part.targets for part in parts]))
        self._train(known)
        self._note_names(parts[0].names)
        self._measured = Measured(known.structures, known.targets.double().numpy())
        self.validation_mae_ = self.members_.validation_error
        self.n_targets_, self._targets, self._one_dimensional = len(known.names), known.names, known.one_dimensional
        return self

    def predict(
        self, X: Crystals, return_std: bool = False, interval: float | Sequence[float] | None = None
    ) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Predict crystals, with intervals if they are asked for.

        Intervals and standard deviations come from errors that were made on crystals before they were learned from, and
        hold for crystals that are drawn as those of the training were; `domain` says which are not.

        Args:
            X: As in `fit`.
            return_std: Also return standard deviations: half the width of the interval at 68.3 %.
            interval: Also return the bounds between which the values of this share of new crystals lie, such as 0.9; or
                of several shares.

        Returns:
            Mean ``[n]`` or ``[n, n_targets]`` in the targets' units; with ``return_std`` the standard deviation, and
            with ``interval`` lower and upper bounds, of the same shape, where several shares are one more dimension,
            the last. NaN where fewer than five crystals were held out.

        Raises:
            ValueError: When a share is not between 0 and 1, or both are asked for.
        """
        if return_std and interval is not None:
            raise ValueError("return_std and interval are both given: an interval of 0.683 is the standard deviation")
        said = self._say(X)
        mean, intervals = self._shaped(said.predicted.values), self.members_.intervals
        if return_std:
            return mean, self._shaped(intervals.std(said))
        if interval is None:
            return mean
        if isinstance(interval, float | int):
            return mean, *map(self._shaped, intervals.bounds(said, interval))
        pairs = [intervals.bounds(said, level) for level in interval]
        bounds = (np.stack([self._shaped(one) for one in side], axis=-1) for side in zip(*pairs, strict=True))
        return mean, *bounds

    def domain(self, X: Crystals) -> pd.DataFrame:
        """How far crystals are from those that were learned from.

        Args:
            X: As in `fit`.

        Returns:
            A row a crystal. ``percentile``: of the crystals of the training, the share in per cent that are nearer to
            the others, in the mixed embedding, than this one is to the nearest of them, the mean over members.
            ``outside``: whether that is more than 95, or the composition is unlike all in the training. Of several
            targets each has these columns, as ``name_percentile``.
        """
        return self._say(X).domain([""] if self._one_dimensional else [f"{name}_" for name in self._targets])

    def score(self, X: Crystals, y: Targets, sample_weight: Weights = None) -> float:
        """Coefficient of determination (R²) of the prediction, of several targets the mean of theirs.

        Args:
            X: As in `fit`.
            y: As in `fit`; values that are missing (NaN) do not count.
            sample_weight: How much each crystal counts in it ``[n]``, or a column of a file.
        """
        known = labelled(X, y, sample_weight, gaps=True)
        return r2(known.values, self.predict(known.structures), known.weights)

    def _shaped(self, values: torch.Tensor) -> NDArray[Any]:
        array = values.double().numpy()
        return array[:, 0] if self._one_dimensional else array

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.single_output = True, True
        return tags
