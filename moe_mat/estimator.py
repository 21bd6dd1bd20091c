"""The mixture as a scikit-learn estimator: crystals in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.splits import Split, random_split
from moe_mat.crystals.structures import crystals_from_objects
from moe_mat.mixture.batch import side_by_side
from moe_mat.mixture.checkpoints import DIGEST, content_digest
from moe_mat.mixture.crystal_inputs import CrystalInputs, EmbeddedCrystals
from moe_mat.mixture.data import EmbeddingDataModule
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.mixture.settings import (
    DataSettings,
    GateSettings,
    MixtureSettings,
    PerceptronSettings,
    Trainable,
    TrainingSettings,
    Transform,
)
from moe_mat.mixture.training import member_seeds, new_model, train_in_memory
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.weights import WeightsError

Crystals = Sequence[Structure] | Sequence[Atoms] | pd.Series | pd.DataFrame | NDArray[Any]


class MoERegressor(RegressorMixin, TransformerMixin, BaseEstimator):
    """Mixture-of-experts regression on crystals.

    Crystals are embedded once by frozen experts and cached; then a few gates and heads are trained on the embeddings,
    each on another random part of the data, and averaged. The uncertainty is their disagreement and, for the kernel
    head, what each says of its own error.

    Args:
        experts: Tags, patterns or folders of cards; ``"default"`` for those that the package recommends.
        head: ``"kernel"``, ``"mlp"``, or one of another package.
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
        random_state: Seed or generator.

    Attributes:
        gate_weights_: Weight of each expert, the mean over members; sums to 1.
        validation_mae_: Mean best validation MAE of the members, in the target's unit (for several targets, in units of
            their spread).
        tried_: Settings of the kernel head that cross-validation compared, a list of each member; ``cv_mae`` in the
            target's unit, the lowest was chosen.
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
        batch, one_dimensional = self._batch(X), np.ndim(y) == 1
        targets, given = _targets(y, len(X)), None
        if validation is not None:
            n_train = len(targets)
            targets = torch.cat([targets, _targets(validation[1], len(validation[0]))])
            batch = batch.joined(self._batch(validation[0]))
            given = Split(np.arange(n_train), np.arange(n_train, len(targets)), np.arange(0))
        seeds = member_seeds(self.random_state, self.n_members)
        training = TrainingSettings(max_epochs=self.max_epochs, patience=self.patience)
        self.members_: list[MixtureOfExperts] = []
        scores = []
        for seed in seeds:
            data = self._data(batch, targets, given, seed=seed)
            model = new_model(self._settings(targets.shape[1]), seed=seed)
            scores.append(train_in_memory(model, data, training, seed=seed))
            self.members_.append(model)
        weights = [gate_weights(member, batch.embeddings) for member in self.members_]
        self.gate_weights_ = pd.DataFrame(weights).mean().rename("gate weight")
        self.validation_mae_ = float(np.mean(scores))
        self.tried_ = [member.head.tried for member in self.members_]
        self.n_targets_ = targets.shape[1]
        self._one_dimensional = one_dimensional
        return self

    def _data(
        self, batch: EmbeddedCrystals, targets: torch.Tensor, given: Split | None, *, seed: int
    ) -> EmbeddingDataModule:
        """The crystals with the split of one member."""
        fractions = (1 - self.validation_fraction, self.validation_fraction, 0.0)
        split = given or random_split(len(targets), fractions=fractions, seed=seed)
        return EmbeddingDataModule(
            batch.embeddings,
            targets,
            {part: torch.as_tensor(rows) for part, rows in split._asdict().items()},
            ids=[str(row) for row in range(len(targets))],
            partial=batch.partial,
            collate=batch.collate,
            batch_size=self.batch_size,
        )

    def _settings(self, n_targets: int) -> MixtureSettings:
        """What the constructor was given, as the model's settings; sequences as plain data."""
        given = {one.name: getattr(self, one.name) for one in fields(MixtureSettings) if one.name != "targets"}
        given |= {"experts": self._names(), "hidden": tuple(self.hidden)}
        given |= {name: dict(given[name]) for name in ("initial_gate", "head_settings") if given[name] is not None}
        return MixtureSettings(**given, targets=[f"target{i}" for i in range(n_targets)])

    def predict(self, X: Crystals, return_std: bool = False) -> NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]:
        """Predict crystals.

        Args:
            X: pymatgen structures or ASE atoms ``[n]``, or a DataFrame with a column ``structure``.
            return_std: Also return the standard deviation: over the members, and that of the kernel heads themselves.

        Returns:
            Mean ``[n]`` or ``[n, n_targets]`` in the targets' units, and the standard deviation of the same shape.
        """
        check_is_fitted(self)
        batch = self._batch(X).batch
        with torch.inference_mode():
            of_members = torch.stack([member(batch) for member in self.members_]).double().numpy()
            own = [member.head.std(batch) for member in self.members_] if return_std else []
        mean, std = of_members.mean(0), of_members.std(0)
        if variances := [values.double().numpy() ** 2 for values in own if values is not None]:
            std = np.sqrt(std**2 + np.mean(variances, axis=0))
        if self._one_dimensional:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def transform(self, X: Crystals) -> NDArray[Any]:
        """Mixed embedding of crystals ``[n, width]``, those of members and gates side by side."""
        check_is_fitted(self)
        batch = self._batch(X).batch
        with torch.inference_mode():
            return torch.cat([member.head.embed(batch)[0] for member in self.members_], dim=1).numpy()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), DIGEST: self._digest()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        noted = state.get(DIGEST)
        super().__setstate__({name: value for name, value in state.items() if name != DIGEST})
        if noted != self._digest():
            raise WeightsError(
                "this MoERegressor is not as it was pickled: the file is damaged; restore it, or fit again"
            )

    def _digest(self) -> str:
        return content_digest([member.state_dict() for member in getattr(self, "members_", [])])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.no_validation = False, True  # crystals are no array of numbers
        tags.target_tags.multi_output, tags.target_tags.single_output = True, True
        return tags

    def _names(self) -> list[str]:
        return [self.experts] if isinstance(self.experts, str) else list(self.experts)

    def _batch(self, X: Crystals) -> EmbeddedCrystals:
        if isinstance(X, pd.DataFrame):
            if "structure" not in X:
                columns = ", ".join(map(str, X.columns))
                raise ValueError(f"the DataFrame has no column 'structure' but {columns}: pass its column of crystals")
            X = X["structure"]
        structures = [crystal.structure for crystal in crystals_from_objects(list(X))]
        cards, trainable = find_cards(self._names()), self.trainable
        with EmbeddingCache() as cache:
            # Encoders that are trained make their embeddings anew at every step: the first ones are not worth keeping.
            embedded = embed(cards, structures, cache=None if trainable == "all" else cache)
        embedded.require_all(structures)
        inputs = CrystalInputs(trainable, cards)
        return EmbeddedCrystals(side_by_side(embedded.values), inputs(structures), inputs.collate)


def _targets(y: ArrayLike, n_crystals: int) -> torch.Tensor:
    targets = np.asarray(y, dtype=np.float32)
    columns = targets[:, None] if targets.ndim == 1 else targets
    if columns.ndim != 2 or len(columns) != n_crystals:
        raise ValueError(f"{n_crystals} crystals need targets [n] or [n, n_targets], not of shape {targets.shape}")
    if np.isinf(columns).any():
        raise ValueError(f"the target of crystal {int(np.isinf(columns).any(1).argmax())} is infinite")
    if np.isnan(columns).all(1).any():
        raise ValueError(f"crystal {int(np.isnan(columns).all(1).argmax())} has no target value: leave it out")
    return torch.as_tensor(columns)
