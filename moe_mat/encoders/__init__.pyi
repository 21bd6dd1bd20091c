from .base import Encoder, Features, pool, prepare_checked
from .cgcnn import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from .descriptors.encoders import DescriptorEncoder, LocalEnvironmentEncoder
from .registry import get_encoder, register_encoder

__all__ = [
    "CGCNNConvolution",
    "CGCNNEncoder",
    "DescriptorEncoder",
    "Encoder",
    "Features",
    "LocalEnvironmentEncoder",
    "gaussian_expansion",
    "get_encoder",
    "pool",
    "prepare_checked",
    "register_encoder",
]
