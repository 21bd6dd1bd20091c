"""What the estimators of numbers and of classes share: settings, experts, members, and how crystals reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.errors import OnUnknownElement
from moe_mat.crystals.given import Crystals
from moe_mat.encoders import Device
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.checked_pickle import CheckedPickle
from moe_mat.mixture.crystal_inputs import EmbeddedCrystals, embed_crystals
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.given import given_data, given_experts, given_settings
from moe_mat.mixture.labelled import Known, given_structures
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

    def _train(self, known: Known, classes: list[str] | None = None) -> None:
        """Train the members.

        Args:
            known: What they learn from.
            classes: Of a target that is a class; each member's random validation rows have their share of each.
        """
        cards = given_experts(self.experts, known.structures, self.on_unknown_element)
        self.experts_ = [card.reference for card in cards]
        names = known.names if classes is None else known.names[:1]
        settings = given_settings(self, self.experts_, names, classes)
        n_rows, workers = len(known.targets), effective_n_jobs(self.n_jobs)
        settings = affordable(settings, cards, n_rows=n_rows, n_models=self.n_members, workers=workers)
        batch = known.embedded(lambda structures: self._embedded(cards, structures))
        training = TrainingSettings(**{one.name: getattr(self, one.name) for one in fields(TrainingSettings)})

        def data_of(seed: int) -> EmbeddingDataModule:
            split = known.split(self.validation_fraction, seed, by_class=classes is not None)
            return given_data(batch, known, split, batch_size=self.batch_size, device=self.device)

        self.members_ = Members.trained(settings, training, member_seeds(self.random_state, self.n_members), data_of)
        self.gate_weights_ = self.members_.gate_weights(batch.embeddings)
        self.tried_ = [member.head.tried for member in self.members_]

    def _check_settings(self) -> None:
        if self.n_members < 1:
            raise ValueError(f"n_members is {self.n_members}: at least one gate and head are needed")

    def transform(self, X: Crystals) -> NDArray[Any]:
        """Mixed embedding of crystals ``[n, width]``, those of members and gates side by side; ``X`` as in `fit`."""
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
