"""The contract of heads: what the training asks of a gate and a head, and the names under which they are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from moe_mat.files.registry import Registry
from moe_mat.mixture.batch import Batch
from moe_mat.mixture.distances import Reference, distances_memory
from moe_mat.mixture.gate import Gate
from moe_mat.mixture.heads.tuned import TunedExperts
from moe_mat.mixture.predicted import HeldOut, Predicted
from moe_mat.mixture.settings import GateSettings
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.cards import ExpertCard

# Bytes a crystal that a training in batches was seen to take, whatever the embeddings: compositions, what epochs leave.
OF_A_ROW = 12_000.0


class Head(nn.Module, ABC):
    """Gates over the experts, and what makes the targets of the mixed embedding.

    The training (`moe_mat.mixture.training.train`) calls, in this order: `fit_constants` once; then for each epoch
    `before_epoch`, `loss` of every batch, and, every `validate_every` epochs, `before_validation` and the head itself;
    with the best epoch's weights, `finish`, `remember` and `held_out`; then `refit` and `remember` again, and last
    `forget`. A finished head is asked to `predict`. Everything but `embed`, `forward`, `loss` and `optimizer` has a
    default. What a checkpoint must keep is a parameter or a buffer.

    Attributes:
        name: Under which settings name it, see `register_head`.
        Settings: The class of its settings, a frozen dataclass.
        max_epochs: The usual number of epochs.
        validate_every: Epochs from one validation to the next.
        full_batch: Whether every batch is all training rows.
        by_rows: Whether batches of whole parts, which `fit_constants`, `finish` and `refit` get, are asked for their
            embeddings by `Batch.embeddings_at` alone, so that these need not be copied.
        weighs: Whether it knows the weights of a batch; where it does not, they are an error.
        one_step: Whether an epoch is one step, on any batch: what `loss` needs is kept by `fit_constants`.
        seed: Of what is random in `fit_constants` and `finish`; the training sets it.
        refits: Whether it may learn from the validation rows; the training sets it.
        tuned: What is trained of the experts; ``None`` where they are frozen.
        tried: What `finish` compared, with errors in the target's unit; empty where nothing is chosen.

    Args:
        cards: Of the experts.
        transform: Of the targets, fitted before `fit_constants` is called.
        settings: An object of `Settings`.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[GateSettings]] = GateSettings
    max_epochs: ClassVar[int] = 200
    validate_every: ClassVar[int] = 1
    full_batch: ClassVar[bool] = False
    one_step: ClassVar[bool] = False
    by_rows: ClassVar[bool] = False
    weighs: ClassVar[bool] = False

    def __init__(self, cards: Sequence[ExpertCard], transform: TargetTransform, settings: Any) -> None:
        super().__init__()
        self.dims = [card.dim for card in cards]
        self.transform = transform
        self.settings = settings
        self.reference = Reference()
        self.seed = 0
        self.refits = True
        self.tuned: TunedExperts | None = None
        self.tried: list[dict[str, Any]] = []

    def tuned_on(self, device: torch.device) -> AbstractContextManager[None]:
        """Have what is trained of the experts compute on a device; gate and head stay where they are."""
        return nullcontext() if self.tuned is None else self.tuned.on(device)

    @classmethod
    def memory(cls, n_rows: int, *, n_models: int = 1, n_columns: int = 1) -> float:
        """Bytes that training and predicting take beside the embeddings, so that what cannot fit is refused early.

        Args:
            n_rows: Training and validation rows.
            n_models: Heads that are trained one after the other, and kept.
            n_columns: What each learns.
        """
        return distances_memory(n_rows) + OF_A_ROW * n_rows

    @abstractmethod
    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mixed embedding ``[n, width]``, and the weights of the experts ``[n, n_gates, n_experts]``."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Targets in their units ``[n, n_targets]``."""

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is minimised, and what is logged of it, for one batch with targets."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of all its parameters; the learning rates follow a cosine over the epochs."""

    def fit_constants(self, train: Batch) -> None:
        """Set what depends on the training rows alone, such as scales."""

    def before_epoch(self, epoch: int) -> bool:
        """Get ready for an epoch; returns whether its batches need the crystals beside their embeddings."""
        return False

    def before_validation(self) -> None:
        """Make the present state one that can predict."""

    def finish(self, train: Batch, val: Batch) -> None:
        """Complete the best epoch; nothing is fitted on validation rows where the head does not `refits`."""

    def refit(self, batch: Batch) -> None:
        """Learn from these rows, training and validation, with everything that was chosen as it is."""

    def forget(self) -> None:
        """Drop what only the training needed: what remains predicts, and is pickled."""

    def predict(self, batch: Batch) -> Predicted:
        """What is said of crystals, with all that tells how far it may be trusted.

        Heads that know more of their errors than this replace it.
        """
        values = self(batch)
        distances = self.reference.distances(self.embed(batch)[0])
        return Predicted(values, values.new_empty(*values.shape, 0), distances[:, None].expand_as(values))

    def held_out(self, val: Iterable[Batch]) -> HeldOut:
        """What is said of crystals that were not learned from, such as the validation rows, by a finished head."""
        ids, targets, said = zip(*((batch.ids, batch.targets, self.predict(batch)) for batch in val), strict=True)
        joined = Predicted(*(torch.cat(of_kind) for of_kind in zip(*said, strict=True)))
        return HeldOut([name for some in ids for name in some], torch.cat(targets), joined)

    def remember(self, learned_from: Iterable[Batch]) -> list[Tensor]:
        """Keep what distances are measured from.

        Returns:
            For each target, distance of each crystal to the nearest other in the mixed embedding ``[n]``.
        """
        self.reference.mixed = torch.cat([self.embed(batch)[0] for batch in learned_from])
        return [self.reference.leave_one_out()] * len(self.transform.mean)

    def positions(self, batch: Batch, target: int) -> Tensor:
        """Places of crystals ``[n, width]``, whose Euclidean distance is how far apart the head takes them to be."""
        return self.embed(batch)[0]

    def known_positions(self, target: int) -> Tensor:
        """The same of the crystals that distances are measured from ``[n_kept, width]``."""
        return self.reference.mixed

    def known_rows(self, targets: Tensor) -> list[Tensor]:
        """Which of the crystals that `remember` was given these are, for each target ``[n_kept]``.

        Args:
            targets: Of all of them ``[n, n_targets]``.
        """
        return [torch.arange(len(self.reference.mixed))] * targets.shape[1]

    def experts_of_axes(self, target: int) -> Tensor | None:
        """The expert of each axis of `positions` ``[width]``; ``None`` where experts share axes, as in a mix."""
        return None

    @property
    def learns_from_validation(self) -> bool:
        """Whether a finished head has learned from the validation rows: if it has a `refit`, and `refits`."""
        return self.refits and type(self).refit is not Head.refit

    def start_gates(self, tags: Sequence[str]) -> None:
        """Start the gates at the weights that the settings name.

        Args:
            tags: Of the experts.

        Raises:
            ValueError: When weights are of strange experts, negative or all zero, or a frozen gate has none.
        """
        given: Mapping[str, float] | None = self.settings.initial_gate
        if given is None:
            if self.settings.frozen_gate:
                raise ValueError("frozen_gate needs initial_gate, the weights that it keeps")
            return
        if unknown := sorted(set(given) - set(tags)):
            raise ValueError(f"initial_gate names {', '.join(unknown)}, but the experts are {', '.join(tags)}")
        values = torch.tensor([given.get(tag, 0.0) for tag in tags], dtype=torch.float64)
        if not (values.isfinite().all() and (values >= 0).all() and values.sum() > 0):
            raise ValueError("initial_gate needs weights that are not negative, at least one of them positive")
        for gate in self.modules():
            if isinstance(gate, Gate):
                gate.start_at(values, frozen=self.settings.frozen_gate)


HEADS: Registry[Head] = Registry(
    "head",
    built_in={
        "inducing": "moe_mat.mixture.heads.inducing",
        "kernel": "moe_mat.mixture.heads.kernel",
        "mlp": "moe_mat.mixture.heads.perceptron",
    },
    group="moe_mat.heads",
    guide="docs/add-a-head.md",
)
register_head = HEADS.register
get_head = HEADS.get
