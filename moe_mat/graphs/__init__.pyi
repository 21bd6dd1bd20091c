from .message_passing import GraphBatch, batch_graphs
from .nearest_neighbors import CrystalGraph, neighbor_graph
from .radius import RadiusBatch, RadiusGraph, batch_radius_graphs, radius_graph
from .ties import Ties

__all__ = [
    "CrystalGraph",
    "GraphBatch",
    "RadiusBatch",
    "RadiusGraph",
    "Ties",
    "batch_graphs",
    "batch_radius_graphs",
    "neighbor_graph",
    "radius_graph",
]
