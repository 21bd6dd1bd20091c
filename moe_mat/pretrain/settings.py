"""How experts are trained: the settings of each kind of training on source data, with their defaults."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Literal, TypedDict

from moe_mat.graphs.nearest_neighbors import Ties

# Of Lightning, and so those of its option: numbers of half the length where that is known to be enough.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
# Settings that say what is trained and not how: a card has other fields for them.
WHAT_IS_TRAINED = ("groups", "targets")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every training has.

    Attributes:
        max_atoms: Larger cells are left out, and counted.
        max_epochs: Length of the one-cycle schedule.
        patience: Epochs without a better validation loss after which training stops; ``None`` never stops.
        batch_size: Crystals in a batch, all processes together; batches of graphs hold equal numbers of atoms.
        learning_rate: Largest of the one-cycle schedule.
        weight_decay: Of AdamW.
        precision: Of the training: ``32-true``, or ``bf16-mixed`` or ``16-mixed``, which are faster on a GPU.
            Validation has full precision.
    """

    max_atoms: int | None = None
    max_epochs: int = 30
    patience: int | None = None
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    precision: Precision = "32-true"

    def on_card(self) -> dict[str, object]:
        """What a card says of the training: what every training has, and of the rest what is not the default."""
        general = {one.name for one in fields(Training)}
        noted: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            default = one.default if one.default_factory is MISSING else one.default_factory()
            if one.name in general or (one.name not in WHAT_IS_TRAINED and value != default):
                noted[one.name] = list(value) if isinstance(value, tuple) else value
        return noted


@dataclass(frozen=True, kw_only=True)
class NetworkTraining(Training):
    """Property networks on a trunk.

    Attributes:
        trunk: Tags of the experts whose embeddings, side by side, the networks read.
        groups: Name of a group to its targets, whose networks share a body.
        body: Sizes of the layers that a group shares.
        tower: Sizes of the layers of each target.
        dropout: Between body and towers.
    """

    trunk: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    body: tuple[int, ...] = (512, 256)
    tower: tuple[int, ...] = (128, 64)
    dropout: float = 0.05

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of all groups, in their order."""
        return tuple(name for group in self.groups.values() for name in group)


class CGCNNSettings(TypedDict, total=False):
    """Arguments of `moe_mat.encoders.cgcnn.CGCNNEncoder`, which has the defaults of those that are not given."""

    width: int
    n_convolutions: int
    cutoff: float
    max_neighbors: int
    ties: Ties
    pad: bool
    step: float


@dataclass(frozen=True, kw_only=True)
class CGCNNTraining(Training):
    """A CGCNN from scratch, such as the backbone of a hub.

    Attributes:
        encoder: Settings of the encoder.
    """

    encoder: CGCNNSettings = field(default_factory=CGCNNSettings)


@dataclass(frozen=True, kw_only=True)
class CGCNNExpertsTraining(CGCNNTraining):
    """CGCNN experts from scratch, one a target.

    Attributes:
        targets: Names of the targets.
    """

    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModuleTraining(Training):
    """Modules of a hub, one a target.

    Attributes:
        bottleneck: Width of the adapters, which alone are trained; ``None`` to train all of the encoder.
        max_crystals: Crystals that a module is trained on, chosen by hash; ``None`` for all.
    """

    bottleneck: int | None = None
    max_crystals: int | None = None

    @property
    def adapters_only(self) -> bool:
        """Whether everything but the adapters stays as it is."""
        return self.bottleneck is not None
