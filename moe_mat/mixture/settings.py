"""Settings of gate, heads and data: each has one name, one type and one default, and they stand here.

The command line, YAML files and `moe_mat.MoERegressor` take the same names. Nothing heavy is imported, so that the help
of a command can be shown at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from moe_mat.crystals.errors import OnError, OnUnknownElement
from moe_mat.crystals.target_kinds import TargetKind
from moe_mat.encoders.devices import Device

# Of the intervals that are written.
DEFAULT_LEVEL = 0.9

Transform = Literal["auto", "none", "standardise", "log", "asinh"]
Trainable = Literal["none", "last_convolution", "all"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What is mixed, into what, by which head.

    Attributes:
        experts: Tags, patterns, folders of cards, or the tiers ``light``, ``default``, ``all`` and ``composition``;
            of formulas, any of these is the last.
        targets: Names of the target columns; set by the data.
        classes: Of the target, where it is a class and no number; set by the data.
        units: Target to its unit, where it is known; set by the data.
        head: ``kernel`` (Gaussian process and support vector machines on the gated distance and on descriptors),
            ``inducing`` (the same kernels by landmarks, for many labels), ``auto`` (``kernel`` up to 6,000 training and
            validation rows, and ``inducing`` beyond), ``mlp`` (multilayer perceptron on the mixed embedding), or one of
            another package.
        target_transform: What the head learns of the target: ``auto``, ``none``, ``standardise``, ``log`` or ``asinh``.
        head_settings: Settings of a head of another package that have no name here.
    """

    experts: str | list[str] = "default"
    targets: list[str] = field(default_factory=lambda: ["target"])
    classes: list[str] | None = None
    units: dict[str, str] = field(default_factory=dict)
    head: str = "auto"
    target_transform: Transform = "auto"
    head_settings: dict[str, object] | None = None

    def __post_init__(self) -> None:
        if self.classes and self.target_transform != "auto":
            raise ValueError(f"target_transform is {self.target_transform!r}: classes have none, leave it out")

    @property
    def n_columns(self) -> int:
        """How many columns a head learns."""
        return len(column_names(self.targets, self.classes))


def column_names(targets: Sequence[str], classes: Sequence[str] | None) -> list[str]:
    """What a head learns: the targets; of a class, whether a crystal is of each, or of two, of the second.

    Example:
        >>> column_names(["gap", "eform"], None), column_names(["metal"], ["False", "True"])
        (['gap', 'eform'], ['metal=True'])
    """
    if not classes:
        return list(targets)
    return [f"{targets[0]}={name}" for name in (classes[1:] if len(classes) == 2 else classes)]


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What every head knows of its gates.

    Attributes:
        n_gates: Number of gates; their mixtures are concatenated, or their kernels added.
        top_k: Number of experts that each gate uses; ``null`` for all.
        temperature: Of the gate's softmax.
        gate_learning_rate: Of the gate, whose logits have further to go than the weights of a layer.
        initial_gate: Tag to weight, such as those that ``moe-mat compose`` finds; experts that are not named get none.
        frozen_gate: Whether the gate keeps these weights.
    """

    n_gates: int = 2
    top_k: int | None = None
    temperature: float = 1.0
    gate_learning_rate: float = 0.15
    initial_gate: dict[str, float] | None = None
    frozen_gate: bool = False


@dataclass(frozen=True, kw_only=True)
class KernelSettings(GateSettings):
    """Of the heads ``kernel`` and ``inducing``: their other settings are chosen on crystals that are held out."""


@dataclass(frozen=True, kw_only=True)
class PerceptronSettings(GateSettings):
    """Of the head ``mlp``.

    Attributes:
        gate: For ``mlp``: ``global`` (one weight an expert) or ``crystal`` (weights that depend on the crystal).
        width: For ``mlp``: common width of the projected embeddings; ``null`` standardises them and projects nothing.
        orthogonality: For ``mlp``: strength of the penalty on gates that choose alike.
        load_balance: For ``mlp``: strength of the penalty on experts that are left unused.
        hidden: For ``mlp``: widths of the hidden layers.
        activation: For ``mlp``: ``relu``, ``silu``, ``softplus`` or ``tanh``.
        dropout: For ``mlp``.
        loss: For ``mlp``: ``mse``, ``mae`` or ``huber``, on the transformed target.
        learning_rate: For ``mlp``: of projections and head.
        weight_decay: For ``mlp``: of AdamW; 0 makes it Adam.
        trainable: For ``mlp``: what is trained of the experts: ``none``; ``last_convolution`` of each, all of them
            CGCNNs; or ``all``, their whole encoders.
        tuning_rate: For ``mlp``: learning rate of what is trained of the experts.
        tune_from_epoch: For ``mlp``: epoch from which on that is trained; until then gate and head learn on the frozen
            embeddings, which costs next to nothing.
    """

    gate: Literal["global", "crystal"] = "global"
    width: int | None = 64
    orthogonality: float = 0.01
    load_balance: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    dropout: float = 0.1
    loss: Literal["mse", "mae", "huber"] = "huber"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    trainable: Trainable = "none"
    tuning_rate: float = 5e-3
    tune_from_epoch: int = 0


@dataclass(frozen=True, kw_only=True)
class MixtureSettings(PerceptronSettings, KernelSettings, ModelSettings):
    """Model: experts, gate and head."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Data: crystals, their target and their split. Without path and dataset, the embedded quickstart.

    Attributes:
        path: CSV, folder, JSON (also of the Materials Project or OPTIMADE), Parquet, ASE database or extxyz, see
            docs/data.md.
        dataset: Name of a matminer data set to download, or ``dcdft``.
        target: Target column, or several.
        kind: What the target is: ``number``, ``class``, or ``auto``: a class where the column holds text or booleans.
        unit: Of the target, such as ``GPa``, for tables, plots and predictions; of several targets one for all, or one
            for each. Where the column's name has it in brackets, as ``gap (eV)``, it is known.
        name: What run folders are called after; by default the file or the data set.
        splits: JSON file with splits: ``{"0": {"train": [...], "val": [...], "test": [...]}, ...}``, entries being
            material ids or row numbers. Without it, rows are split at random.
        split: Which of the splits; without ``splits``, the seed of the random one.
        fractions: Shares of train, validation and test rows in a random split; each has its share of every class.
        weight_column: Column that says how much each crystal counts in learning; 0 leaves it out there.
        group: Rows that a random split keeps in one part: those of one ``formula``, ``structure``, ``chemical_system``
            or ``cluster`` of embeddings, or of one value of a column (its name, or ``column:NAME``).
        batch_size: Crystals in a batch.
        id_column: Column with the crystals' names; found when not given.
        structure_column: Column with structures, their files or formulas; found when not given.
        on_error: ``raise`` stops at the first crystal that cannot be used, ``skip`` leaves it out and lists it.
        on_unknown_element: ``refuse`` takes a crystal with an element that some expert does not know for one that
            cannot be used; ``drop_expert`` fits without that expert, and says so. A fitted model needs all its experts.
        workers: Processes that embed crystals; each has its own copy of the experts. The numbers do not depend on it.
            Beside a GPU, they prepare crystals for the process that has it.
    """

    path: str | None = None
    dataset: str | None = None
    target: str | list[str] | None = None
    kind: TargetKind = "auto"
    unit: str | list[str] | None = None
    name: str | None = None
    splits: str | None = None
    split: int = 0
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    weight_column: str | None = None
    group: str | None = None
    batch_size: int = 128
    id_column: str | None = None
    structure_column: str | None = None
    on_error: OnError = "raise"
    on_unknown_element: OnUnknownElement = "refuse"
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Of the training itself.

    Attributes:
        max_epochs: Largest number of epochs; ``None`` for that of the head.
        patience: Epochs without a better validation MAE after which training stops.
        refit: Whether a head that can learns from the validation rows too, when everything is chosen. Without, they
            choose the epoch, and nothing is fitted on them.
        device: Where encoders compute, and where a head that learns by batches is trained: ``cpu``, ``cuda``, or
            ``auto``, a GPU where there is one. Crystals are prepared, and the heads ``kernel`` and ``inducing`` are
            solved, on the CPU; and so is, by ``auto``, whatever learns from frozen experts, which gives a GPU nothing
            to do.
    """

    max_epochs: int | None = None
    patience: int = 50
    refit: bool = True
    device: Device = "auto"


Settings = TypeVar("Settings", bound=GateSettings)


def settings_of_head(kind: type[Settings], given: MixtureSettings) -> Settings:
    """Those of the settings that a head has.

    Args:
        kind: The head's class of settings.
        given: All settings; those that the head does not have must stand at their default.

    Raises:
        ValueError: When a setting is given that the head does not have; names it, and what the head has.

    Example:
        >>> settings_of_head(KernelSettings, MixtureSettings(n_gates=3)).n_gates
        3
    """
    known = {one.name for one in fields(kind)}
    of_model = {one.name for one in fields(ModelSettings)}
    flat = {one.name: getattr(given, one.name) for one in fields(given) if one.name not in of_model}
    defaults = MixtureSettings()
    strange = [name for name, value in flat.items() if name not in known and value != getattr(defaults, name)]
    own: Mapping[str, object] = given.head_settings or {}
    strange += [name for name in own if name not in known or name in flat]
    if strange:
        raise ValueError(
            f"head {given.head!r} has no setting {', '.join(strange)}; its settings are {', '.join(sorted(known))}"
        )
    return kind(**{name: value for name, value in {**flat, **own}.items() if name in known})
