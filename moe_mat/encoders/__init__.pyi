from .base import SCALAR_STATISTICS, Encoder, Features, pool, prepare_checked
from .cgcnn import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from .descriptors.encoders import DescriptorEncoder, LocalEnvironmentEncoder
from .devices import Device, beside, choose_device, placed
from .physics.base import PhysicsEncoder
from .physics.elasticity import ElasticityEncoder
from .physics.layer_stack import LayerStackEncoder
from .physics.load_potential import load_potential
from .physics.phonons import PhononEncoder
from .physics.polar_springs import PolarSpringsEncoder
from .physics.potential_encoder import DEFAULT_POTENTIAL, PotentialEncoder
from .physics.potentials import Cell, Evaluation, Potential
from .physics.quantities import Quantity
from .physics.vibrations import Vibrations
from .registry import get_encoder, register_encoder
from .tensor_pooling import TENSOR_STATISTICS, pool_tensors

__all__ = [
    "DEFAULT_POTENTIAL",
    "SCALAR_STATISTICS",
    "TENSOR_STATISTICS",
    "CGCNNConvolution",
    "CGCNNEncoder",
    "Cell",
    "DescriptorEncoder",
    "Device",
    "ElasticityEncoder",
    "Encoder",
    "Evaluation",
    "Features",
    "LayerStackEncoder",
    "LocalEnvironmentEncoder",
    "PhononEncoder",
    "PhysicsEncoder",
    "PolarSpringsEncoder",
    "Potential",
    "PotentialEncoder",
    "Quantity",
    "Vibrations",
    "beside",
    "choose_device",
    "gaussian_expansion",
    "get_encoder",
    "load_potential",
    "placed",
    "pool",
    "pool_tensors",
    "prepare_checked",
    "register_encoder",
]
