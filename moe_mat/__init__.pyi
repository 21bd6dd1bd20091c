from .crystals.readers import read_structures
from .estimator import MoERegressor
from .zoo.cards import list_experts
from .zoo.experts import load_expert

__all__ = ["MoERegressor", "list_experts", "load_expert", "read_structures"]
