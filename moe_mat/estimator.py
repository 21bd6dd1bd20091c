"""The mixture as a scikit-learn estimator: crystals in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure
from sklearn.base import RegressorMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.splits import Split, random_split
from moe_mat.encoders import Device
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.checked_pickle import CheckedPickle
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals, embed_crystals
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.given import Crystals, given_data, given_experts, given_structures, given_targets, target_names
from moe_mat.mixture.members import Members
from moe_mat.mixture.memory import affordable
from moe_mat.mixture.predicted import Said
from moe_mat.mixture.settings import (
    DataSettings,
    GateSettings,
    MixtureSettings,
    PerceptronSettings,
    Trainable,
    TrainingSettings,
    Transform,
)
from moe_mat.mixture.training import member_seeds
from moe_mat.suggest.measured import Measured
from moe_mat.suggest.regressor import SuggestingRegressor
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards


class MoERegressor(RegressorMixin, TransformerMixin, SuggestingRegressor, CheckedPickle):
    """Mixture-of-experts regression on crystals.

    Crystals are embedded once by frozen experts and cached; then a few gates and heads are trained on the embeddings,
    each on another random part of the data, and averaged. Intervals come from errors that they made on new crystals.

    Args:
        experts: Tags, patterns or folders of cards, or the tiers ``"light"``, ``"default"`` and ``"all"``.
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
        device: ``auto``, ``cpu`` or ``cuda``, see `moe_mat.mixture.settings.TrainingSettings`.
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

    def __init__(
        self,
        experts: str | Sequence[str] = "default",
        *,
        head: str = MixtureSettings.head,
        n_members: int = 3,
        target_transform: Transform = MixtureSettings.target_transform,
        n_gates: int = GateSettings.n_gates,
        top_k: int | None = GateSettings.top_k,
        temperature: float = GateSettings.temperature,
        gate_learning_rate: float = GateSettings.gate_learning_rate,
        initial_gate: Mapping[str, float] | None = GateSettings.initial_gate,
        frozen_gate: bool = GateSettings.frozen_gate,
        gate: Literal["global", "crystal"] = PerceptronSettings.gate,
        width: int | None = PerceptronSettings.width,
        orthogonality: float = PerceptronSettings.orthogonality,
        load_balance: float = PerceptronSettings.load_balance,
        hidden: Sequence[int] = PerceptronSettings.hidden,
        activation: str = PerceptronSettings.activation,
        dropout: float = PerceptronSettings.dropout,
        loss: Literal["mse", "mae", "huber"] = PerceptronSettings.loss,
        learning_rate: float = PerceptronSettings.learning_rate,
        weight_decay: float = PerceptronSettings.weight_decay,
        trainable: Trainable = PerceptronSettings.trainable,
        tuning_rate: float = PerceptronSettings.tuning_rate,
        tune_from_epoch: int = PerceptronSettings.tune_from_epoch,
        head_settings: Mapping[str, object] | None = MixtureSettings.head_settings,
        batch_size: int = DataSettings.batch_size,
        max_epochs: int | None = TrainingSettings.max_epochs,
        patience: int = TrainingSettings.patience,
        validation_fraction: float = 0.15,
        refit: bool = TrainingSettings.refit,
        on_unknown_element: OnUnknownElement = DataSettings.on_unknown_element,
        n_jobs: int | None = None,
        device: Device = TrainingSettings.device,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.experts = experts
        self.head = head
        self.n_members = n_members
        self.target_transform = target_transform
        self.n_gates = n_gates
        self.top_k = top_k
        self.temperature = temperature
        self.gate_learning_rate = gate_learning_rate
        self.initial_gate = initial_gate
        self.frozen_gate = frozen_gate
        self.gate = gate
        self.width = width
        self.orthogonality = orthogonality
        self.load_balance = load_balance
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.loss = loss
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.trainable = trainable
        self.tuning_rate = tuning_rate
        self.tune_from_epoch = tune_from_epoch
        self.head_settings = head_settings
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.on_unknown_element = on_unknown_element
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

    def fit(self, X: Crystals, y: ArrayLike, *, validation: tuple[Crystals, ArrayLike] | None = None) -> MoERegressor:
        """Train on crystals.

        Args:
            X: pymatgen structures or ASE atoms ``[n]``, or a DataFrame with a column ``structure``.
            y: Targets ``[n]`` or ``[n, n_targets]``; NaN means no value.
            validation: Crystals and targets that choose epoch and settings; without them, each member sets a random
                part of ``X`` aside.

        Raises:
            CrystalError: When a crystal cannot be used; names its position.
            ValueError: When lengths differ, values are infinite, or too few crystals have one.
        """
        if self.n_members < 1:
            raise ValueError(f"n_members is {self.n_members}: at least one gate and head are needed")
        structures, targets, given = given_structures(X), given_targets(y, len(X)), None
        others = [] if validation is None else given_structures(validation[0])
        if validation is not None:
            targets = torch.cat([targets, given_targets(validation[1], len(others))])
            given = Split(np.arange(len(X)), np.arange(len(X), len(targets)), np.arange(0))
        cards = given_experts(self.experts, [*structures, *others], self.on_unknown_element)
        self.experts_ = [card.reference for card in cards]
        settings = self._settings(target_names(y, targets.shape[1]))
        settings = affordable(settings, cards, n_rows=len(targets), n_models=self.n_members)
        batch = self._embedded(cards, structures)
        if validation is not None:
            batch = batch.joined(self._embedded(cards, others))
        training = TrainingSettings(**{one.name: getattr(self, one.name) for one in fields(TrainingSettings)})

        def data_of(seed: int) -> EmbeddingDataModule:
            fractions = (1 - self.validation_fraction, self.validation_fraction, 0.0)
            split = given or random_split(len(targets), fractions=fractions, seed=seed)
            return given_data(batch, targets, split, batch_size=self.batch_size, device=self.device)

        self.members_ = Members.trained(settings, training, member_seeds(self.random_state, self.n_members), data_of)
        self.gate_weights_ = self.members_.gate_weights(batch.embeddings)
        self.validation_mae_ = self.members_.validation_mae
        self.tried_ = [member.head.tried for member in self.members_]
        self._measured = Measured([*structures, *others], targets.double().numpy())
        self.n_targets_, self._targets, self._one_dimensional = targets.shape[1], settings.targets, np.ndim(y) == 1
        return self

    def _settings(self, targets: list[str]) -> MixtureSettings:
        """What the constructor was given, as the model's settings; sequences as plain data."""
        given = {one.name: getattr(self, one.name) for one in fields(MixtureSettings) if one.name != "targets"}
        given |= {"experts": self.experts_, "hidden": tuple(self.hidden)}
        given |= {name: dict(given[name]) for name in ("initial_gate", "head_settings") if given[name] is not None}
        return MixtureSettings(**given, targets=targets)

    def predict(
        self, X: Crystals, return_std: bool = False, interval: float | Sequence[float] | None = None
    ) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Predict crystals, with intervals if they are asked for.

        Intervals and standard deviations come from errors that were made on crystals before they were learned from, and
        hold for crystals that are drawn as those of the training were; `domain` says which are not.

        Args:
            X: pymatgen structures or ASE atoms ``[n]``, or a DataFrame with a column ``structure``.
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
            X: As in `predict`.

        Returns:
            A row a crystal. ``percentile``: of the crystals of the training, the share in per cent that are nearer to
            the others, in the mixed embedding, than this one is to the nearest of them, the mean over members.
            ``outside``: whether that is more than 95, or the composition is unlike all in the training. Of several
            targets each has these columns, as ``name_percentile``.
        """
        return self._say(X).domain([""] if self._one_dimensional else [f"{name}_" for name in self._targets])

    def transform(self, X: Crystals) -> NDArray[Any]:
        """Mixed embedding of crystals ``[n, width]``, those of members and gates side by side."""
        check_is_fitted(self)
        return self.members_.embed(self._embed(X), self.device).numpy()

    def _say(self, X: Crystals) -> Said:
        check_is_fitted(self)
        return self.members_.say(self._embed(X), self.device)

    def _embedded(self, cards: Sequence[ExpertCard], structures: Sequence[Structure]) -> EmbeddedCrystals:
        workers = effective_n_jobs(self.n_jobs)
        return embed_crystals(cards, structures, self.trainable, device=self.device, workers=workers)

    def _embed(self, X: Crystals) -> Batch:
        return self._embedded(find_cards(self.experts_), given_structures(X)).batch

    def _shaped(self, values: torch.Tensor) -> NDArray[Any]:
        array = values.double().numpy()
        return array[:, 0] if self._one_dimensional else array

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.no_validation = False, True  # crystals are no array of numbers
        tags.target_tags.multi_output, tags.target_tags.single_output = True, True
        return tags
