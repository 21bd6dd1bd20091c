from .batch import Batch
from .data import CrystalDataModule, EmbeddingDataModule
from .gate import CrystalGate, Gate, mix
from .heads.base import HEADS, Head, get_head, register_head
from .heads.projection import Projections
from .module import MixtureOfExperts, gate_weights
from .settings import (
    DataSettings,
    GateSettings,
    KernelSettings,
    MixtureSettings,
    PerceptronSettings,
    TrainingSettings,
    Transform,
)
from .training import train
from .transforms import TargetTransform
from .uncertainty_scores import ALL_LEVELS, CRPS_LEVELS, LEVELS, Judged, interval_score, judge

__all__ = [
    "ALL_LEVELS",
    "CRPS_LEVELS",
    "HEADS",
    "LEVELS",
    "Batch",
    "CrystalDataModule",
    "CrystalGate",
    "DataSettings",
    "EmbeddingDataModule",
    "Gate",
    "GateSettings",
    "Head",
    "Judged",
    "KernelSettings",
    "MixtureOfExperts",
    "MixtureSettings",
    "PerceptronSettings",
    "Projections",
    "TargetTransform",
    "TrainingSettings",
    "Transform",
    "gate_weights",
    "get_head",
    "interval_score",
    "judge",
    "mix",
    "register_head",
    "train",
]
