"""What the estimators of numbers and of classes share: settings, experts, members, and how crystals reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
import torch
from joblib import effective_n_jobs
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.splits import Split, random_split, stratified_split
from moe_mat.encoders import Device
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.checked_pickle import CheckedPickle
from moe_mat.mixture.class_probabilities import labels_of
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals, embed_crystals
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.given import Crystals, given_data, given_experts, given_structures
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
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards

# Settings that are no arguments.
SET_BY_DATA = ("targets", "classes")


class MixtureEstimator(TransformerMixin, CheckedPickle):
    """Several gates and heads over the same experts, by scikit-learn's rules; see `moe_mat.MoERegressor`."""

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

    def _train(
        self,
        X: Crystals,
        targets: torch.Tensor,
        validation: tuple[Crystals, torch.Tensor] | None,
        *,
        names: list[str],
        classes: list[str] | None = None,
    ) -> None:
        """Train the members.

        Args:
            X: Crystals ``[n]``.
            targets: What a head learns of them ``[n, n_columns]``, NaN where there is no value.
            validation: Crystals and targets that choose epoch and settings.
            names: Of the targets.
            classes: Of a target that is a class; each member's random validation rows have their share of each.
        """
        structures, given = given_structures(X), None
        others = [] if validation is None else given_structures(validation[0])
        if validation is not None:
            targets = torch.cat([targets, validation[1]])
            given = Split(np.arange(len(X)), np.arange(len(X), len(targets)), np.arange(0))
        cards = given_experts(self.experts, [*structures, *others], self.on_unknown_element)
        self.experts_ = [card.reference for card in cards]
        settings = affordable(self._settings(names, classes), cards, n_rows=len(targets), n_models=self.n_members)
        batch = self._embedded(cards, structures)
        if validation is not None:
            batch = batch.joined(self._embedded(cards, others))
        training = TrainingSettings(**{one.name: getattr(self, one.name) for one in fields(TrainingSettings)})

        def data_of(seed: int) -> EmbeddingDataModule:
            fractions = (1 - self.validation_fraction, self.validation_fraction, 0.0)
            if given or classes is None:
                split = given or random_split(len(targets), fractions=fractions, seed=seed)
            else:
                split = stratified_split(labels_of(targets).tolist(), fractions=fractions, seed=seed)
            return given_data(batch, targets, split, batch_size=self.batch_size, device=self.device)

        self.members_ = Members.trained(settings, training, member_seeds(self.random_state, self.n_members), data_of)
        self.gate_weights_ = self.members_.gate_weights(batch.embeddings)
        self.tried_ = [member.head.tried for member in self.members_]

    def _check_settings(self) -> None:
        if self.n_members < 1:
            raise ValueError(f"n_members is {self.n_members}: at least one gate and head are needed")

    def _settings(self, targets: list[str], classes: list[str] | None) -> MixtureSettings:
        """What the constructor was given, as the model's settings; sequences as plain data."""
        given = {one.name: getattr(self, one.name) for one in fields(MixtureSettings) if one.name not in SET_BY_DATA}
        given |= {"experts": self.experts_, "hidden": tuple(self.hidden)}
        given |= {name: dict(given[name]) for name in ("initial_gate", "head_settings") if given[name] is not None}
        return MixtureSettings(**given, targets=targets, classes=classes)

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.no_validation = False, True  # crystals are no array of numbers
        return tags
