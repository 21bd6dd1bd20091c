from .base import Encoder, Features, get_encoder, pool, register_encoder
from .cgcnn import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from .descriptors.encoder import DescriptorEncoder
from .descriptors.local_environment import LocalEnvironmentEncoder

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
    "register_encoder",
]
