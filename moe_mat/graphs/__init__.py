"""Neighbour graphs and message passing on them: the only room that knows DGL.

Encoders build their graphs by `moe_mat.graphs.neighbor_graph` and `moe_mat.graphs.radius_graph`, join those of several
crystals into a batch, and pass messages on it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
