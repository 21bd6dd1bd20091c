"""CGCNN as it is usually written, to compare with: concatenate both atoms and the edge, then one matrix for each edge.

After Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), and their code; the weights are those of our encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_mat.encoders import CGCNNConvolution, CGCNNEncoder, gaussian_expansion
from moe_mat.graphs import GraphBatch


def plain_features(encoder: CGCNNEncoder, batch: GraphBatch) -> Tensor:
    """Atom features after the last convolution ``[n_atoms, width]``.

    Args:
        encoder: in eval mode.
        batch: graphs in which all atoms have equally many neighbours.

    Raises:
        ValueError: some atom has fewer neighbours; pad the graphs.
    """
    n_atoms = len(batch.atomic_numbers)
    if not batch.degree:
        raise ValueError("the plain CGCNN needs equally many neighbours of all atoms: use an encoder with pad=True")
    edges = gaussian_expansion(batch.distances, encoder.edge_centers, encoder.step).view(n_atoms, batch.degree, -1)
    neighbors = batch.neighbors.view(n_atoms, batch.degree)
    nodes = encoder.embedding(encoder.elements[batch.atomic_numbers])
    for convolution in encoder.convs:
        assert isinstance(convolution, CGCNNConvolution)
        nodes = _convolve(convolution, nodes, neighbors, edges)
    return nodes


def _convolve(convolution: CGCNNConvolution, nodes: Tensor, neighbors: Tensor, edges: Tensor) -> Tensor:
    n_atoms, degree = neighbors.shape
    at_center = nodes[:, None, :].expand(n_atoms, degree, nodes.shape[1])
    z = convolution.fc_full(torch.cat([at_center, nodes[neighbors], edges], dim=2))
    z = convolution.bn1(z.view(n_atoms * degree, -1)).view(n_atoms, degree, -1)
    gate, core = z.chunk(2, dim=2)
    return F.softplus(nodes + convolution.bn2((gate.sigmoid() * F.softplus(core)).sum(1)))
