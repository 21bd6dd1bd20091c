from .batch import Batch
from .class_scores import JudgedClasses, judge_classes
from .data import CrystalDataModule
from .embedding_data import EmbeddingDataModule
from .finished import load_finished
from .gate import CrystalGate, Gate, mix
from .heads.base import HEADS, Head, get_head, register_head
from .heads.projection import Projections
from .learned_crystals import LearnedCrystals
from .memory import affordable, needed_memory
from .module import MixtureOfExperts, gate_weights
from .nearest import nearest_training
from .settings import (
    DataSettings,
    GateSettings,
    KernelSettings,
    MixtureSettings,
    PerceptronSettings,
    TrainingSettings,
    Transform,
)
from .training import train, train_in_memory
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
    "JudgedClasses",
    "KernelSettings",
    "LearnedCrystals",
    "MixtureOfExperts",
    "MixtureSettings",
    "PerceptronSettings",
    "Projections",
    "TargetTransform",
    "TrainingSettings",
    "Transform",
    "affordable",
    "gate_weights",
    "get_head",
    "interval_score",
    "judge",
    "judge_classes",
    "load_finished",
    "mix",
    "nearest_training",
    "needed_memory",
    "register_head",
    "train",
    "train_in_memory",
]
