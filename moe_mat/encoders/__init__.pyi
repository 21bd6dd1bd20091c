from .base import SCALAR_STATISTICS, Encoder, Features, pool, prepare_checked
from .cgcnn import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from .descriptors.encoders import DescriptorEncoder, LocalEnvironmentEncoder
from .registry import get_encoder, register_encoder
from .tensor_pooling import TENSOR_STATISTICS, pool_tensors

__all__ = [
    "SCALAR_STATISTICS",
    "TENSOR_STATISTICS",
    "CGCNNConvolution",
    "CGCNNEncoder",
    "DescriptorEncoder",
    "Encoder",
    "Features",
    "LocalEnvironmentEncoder",
    "gaussian_expansion",
    "get_encoder",
    "pool",
    "pool_tensors",
    "prepare_checked",
    "register_encoder",
]
