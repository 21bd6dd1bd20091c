from .message_passing import GraphBatch, batch_graphs
from .neighbor_graph import CrystalGraph
from .radius_graph import RadiusBatch, RadiusGraph, batch_radius_graphs
from .ties import Ties

__all__ = ["CrystalGraph", "GraphBatch", "RadiusBatch", "RadiusGraph", "Ties", "batch_graphs", "batch_radius_graphs"]
