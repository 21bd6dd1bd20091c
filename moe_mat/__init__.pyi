from .crystals.readers import read_structures
from .estimator import MoERegressor
from .zoo.experts import load_expert
from .zoo.find import list_experts

__all__ = ["MoERegressor", "list_experts", "load_expert", "read_structures"]
