from .classifier import MoEClassifier
from .crystals.grouping import chemical_system_groups, formula_groups
from .crystals.readers import read_structures
from .estimator import MoERegressor
from .zoo.clusters import cluster_groups
from .zoo.experts import load_expert
from .zoo.find import list_experts

__version__: str

__all__ = [
    "MoEClassifier",
    "MoERegressor",
    "chemical_system_groups",
    "cluster_groups",
    "formula_groups",
    "list_experts",
    "load_expert",
    "read_structures",
]
