"""The mixture as a scikit-learn estimator: crystals in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from moe_mat.cache import EmbeddingCache
from moe_mat.cards import find_cards
from moe_mat.data import Batch, EmbeddingDataModule, side_by_side
from moe_mat.embeddings import embed
from moe_mat.model import MixtureOfExperts, gate_weights
from moe_mat.splits import random_split
from moe_mat.structures import CrystalError, LeftOut, crystals_from_objects
from moe_mat.training import DEFAULT_EPOCHS, train
from moe_mat.transforms import Transform

Crystals = Sequence[Structure] | Sequence[Atoms] | pd.Series | NDArray[Any]


class MoERegressor(RegressorMixin, TransformerMixin, BaseEstimator):
    """Mixture-of-experts regression on crystals.

    Crystals are embedded once by frozen experts and cached; then a few gates and heads are trained on the embeddings,
    each on another random part of the data, and averaged. The uncertainty is their disagreement and, for the kernel
    head, what each says of its own error.

    Args:
        experts: Tags, patterns or folders of cards; ``"default"`` for those that the package recommends.
        gate: ``"global"`` or ``"crystal"``, see `moe_mat.model.MixtureOfExperts`.
        head: ``"kernel"`` or ``"mlp"``.
        n_members: Number of gates and heads.
        width: Common width of the projected embeddings, for an ``mlp`` head.
        n_gates: Gates of each member.
        top_k: Number of experts that each gate uses; ``None`` for all.
        hidden: Widths of the hidden layers of an ``mlp`` head.
        target_transform: What the head learns of the target: ``auto``, ``none``, ``standardise``, ``log`` or ``asinh``.
        loss: ``"mse"``, ``"mae"`` or ``"huber"``, for an ``mlp`` head.
        learning_rate: Of projections and ``mlp`` head.
        dropout: In the ``mlp`` head.
        max_epochs: Largest number of epochs; ``None`` for the usual one of the head.
        patience: Epochs without a better validation MAE after which training stops.
        validation_fraction: Share of the crystals that choose the epoch of each member.
        random_state: Seed or generator.

    Attributes:
        gate_weights_: Weight of each expert, the mean over members; sums to 1.
        validation_mae_: Mean best validation MAE of the members, in the target's unit (for several targets, in units of
            their spread).
        n_targets_: Number of targets.

    Example:
        >>> from moe_mat.datasets import load_quickstart
        >>> structures, table = load_quickstart()
        >>> model = MoERegressor(experts="magpie", n_members=2, max_epochs=5, random_state=0)
        >>> model.fit(structures, table["bulk_modulus"]).predict(structures[:3]).shape
        (3,)
    """

    def __init__(
        self,
        experts: str | Sequence[str] = "default",
        *,
        gate: Literal["global", "crystal"] = "global",
        head: Literal["kernel", "mlp"] = "kernel",
        n_members: int = 3,
        width: int | None = 64,
        n_gates: int = 2,
        top_k: int | None = None,
        hidden: Sequence[int] = (64, 64),
        target_transform: Transform = "auto",
        loss: Literal["mse", "mae", "huber"] = "huber",
        learning_rate: float = 3e-3,
        dropout: float = 0.1,
        max_epochs: int | None = None,
        patience: int = 50,
        validation_fraction: float = 0.15,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.experts = experts
        self.gate = gate
        self.head = head
        self.n_members = n_members
        self.width = width
        self.n_gates = n_gates
        self.top_k = top_k
        self.hidden = hidden
        self.target_transform = target_transform
        self.loss = loss
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Crystals, y: ArrayLike) -> MoERegressor:
        """Train on crystals.

        Args:
            X: pymatgen structures or ASE atoms ``[n]``.
            y: Targets ``[n]`` or ``[n, n_targets]``; NaN means no value.

        Raises:
            CrystalError: When a crystal cannot be used; names its position.
            ValueError: When lengths differ, values are infinite, or too few crystals have one.
        """
        targets = np.asarray(y, dtype=np.float32)
        columns = targets[:, None] if targets.ndim == 1 else targets
        if columns.ndim != 2 or len(columns) != len(X):
            raise ValueError(f"{len(X)} crystals need targets [n] or [n, n_targets], not of shape {targets.shape}")
        if np.isinf(columns).any():
            raise ValueError(f"the target of crystal {int(np.isinf(columns).any(1).argmax())} is infinite")
        if np.isnan(columns).all(1).any():
            raise ValueError(f"crystal {int(np.isnan(columns).all(1).argmax())} has no target value: leave it out")
        if self.n_members < 1:
            raise ValueError(f"n_members is {self.n_members}: at least one gate and head are needed")
        embeddings = self._embed(X)
        random = check_random_state(self.random_state)
        fractions = (1 - self.validation_fraction, self.validation_fraction, 0.0)
        self.members_: list[MixtureOfExperts] = []
        scores = []
        names = [str(row) for row in range(len(columns))]
        for _ in range(self.n_members):
            seed = int(random.randint(2**31 - 1))
            split = random_split(len(columns), fractions=fractions, seed=seed)
            rows = {part: torch.as_tensor(of_part) for part, of_part in split._asdict().items()}
            data = EmbeddingDataModule(embeddings, torch.as_tensor(columns), rows, ids=names)
            model = self._new_member(columns.shape[1], seed=seed)
            scores.append(train(model, data, max_epochs=self.max_epochs, patience=self.patience, seed=seed))
            self.members_.append(model)
        weights = [gate_weights(member, embeddings) for member in self.members_]
        self.gate_weights_ = pd.DataFrame(weights).mean().rename("gate weight")
        self.validation_mae_ = float(np.mean(scores))
        self.n_targets_ = columns.shape[1]
        self._one_dimensional = targets.ndim == 1
        return self

    def _new_member(self, n_targets: int, *, seed: int) -> MixtureOfExperts:
        if self.head not in DEFAULT_EPOCHS:
            raise ValueError(f"unknown head {self.head!r}; known: {', '.join(DEFAULT_EPOCHS)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MixtureOfExperts(
                experts=self._names(),
                targets=[f"target{i}" for i in range(n_targets)],
                head=self.head,
                gate=self.gate,
                width=self.width,
                n_gates=self.n_gates,
                top_k=self.top_k,
                hidden=list(self.hidden),
                transform=self.target_transform,
                loss=self.loss,
                learning_rate=self.learning_rate,
                dropout=self.dropout,
            )

    def predict(self, X: Crystals, return_std: bool = False) -> NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]:
        """Predict crystals.

        Args:
            X: pymatgen structures or ASE atoms ``[n]``.
            return_std: Also return the standard deviation: over the members, and that of the kernel heads themselves.

        Returns:
            Mean ``[n]`` or ``[n, n_targets]`` in the targets' units, and the standard deviation of the same shape.
        """
        check_is_fitted(self)
        batch = Batch(self._embed(X), None, [])
        with torch.inference_mode():
            of_members = torch.stack([member(batch) for member in self.members_]).double().numpy()
            own = [member.mixture.std(batch) for member in self.members_] if return_std else []
        mean, std = of_members.mean(0), of_members.std(0)
        if variances := [values.double().numpy() ** 2 for values in own if values is not None]:
            std = np.sqrt(std**2 + np.mean(variances, axis=0))
        if self._one_dimensional:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def transform(self, X: Crystals) -> NDArray[Any]:
        """Mixed embedding of crystals ``[n, width]``, those of members and gates side by side."""
        check_is_fitted(self)
        batch = Batch(self._embed(X), None, [])
        with torch.inference_mode():
            return torch.cat([member.mixture.embed(batch)[0] for member in self.members_], dim=1).numpy()

    def _names(self) -> list[str]:
        return [self.experts] if isinstance(self.experts, str) else list(self.experts)

    def _embed(self, X: Crystals) -> torch.Tensor:
        structures = [crystal.structure for crystal in crystals_from_objects(list(X))]
        with EmbeddingCache() as cache:
            embedded = embed(find_cards(self._names()), structures, cache=cache)
        for row, reason in embedded.refused.items():
            raise CrystalError(LeftOut(f"crystal {row} ({structures[row].reduced_formula})", None, None, reason))
        return side_by_side(embedded.values)
