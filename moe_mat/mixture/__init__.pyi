from .data import CrystalDataModule, EmbeddingDataModule
from .module import MixtureOfExperts
from .settings import Transform
from .transforms import TargetTransform

__all__ = ["CrystalDataModule", "EmbeddingDataModule", "MixtureOfExperts", "TargetTransform", "Transform"]
