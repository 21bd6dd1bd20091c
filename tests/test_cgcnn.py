"""CGCNN: the factorised convolution is the published one, and the published experts give their published embeddings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pymatgen.core import Lattice, Structure
from safetensors.torch import load_file
from strategies import reference_crystals
from torch import Tensor
from toy_experts import cgcnn, randomise

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.readers import read_structures
from moe_mat.encoders.cgcnn import CGCNNConvolution, CGCNNEncoder, element_features
from moe_mat.graphs.message_passing import batch_graphs
from moe_mat.graphs.nearest_neighbors import neighbor_graph
from moe_mat.zoo.experts import load_expert
from moe_mat.zoo.import_cgcnn import import_cgcnn

CRYSTALS = reference_crystals()
DATA = Path(os.environ.get("MOE_MAT_DATA", "absent"))
REFERENCE = DATA.parent / "reference_experts"
GOLDEN = REFERENCE / "golden_embeddings.json"
needs_reference = pytest.mark.skipif(not GOLDEN.is_file(), reason="no reference_experts beside the folder MOE_MAT_DATA")


def plain_convolution(convolution: CGCNNConvolution, nodes: Tensor, neighbors: Tensor, edges: Tensor) -> Tensor:
    """The convolution as it was published: concatenate for each edge, then one linear layer.

    Args:
        convolution: Where the weights are.
        nodes: ``[n_atoms, width]``.
        neighbors: ``[n_atoms, max_neighbors]``.
        edges: ``[n_atoms, max_neighbors, edge_width]``.
    """
    n_atoms, n_neighbors = neighbors.shape
    of_center = nodes[:, None].expand(-1, n_neighbors, -1)
    z = convolution.fc_full(torch.cat([of_center, nodes[neighbors], edges], dim=2))
    z = convolution.bn1(z.flatten(0, 1)).view(n_atoms, n_neighbors, -1)
    gate, core = z.chunk(2, dim=2)
    summed = convolution.bn2((torch.sigmoid(gate) * F.softplus(core)).sum(dim=1))
    return F.softplus(nodes + summed)


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("training", [True, False])
def test_factorised_convolution_is_the_plain_one(training: bool, backend: str) -> None:
    graphs = [neighbor_graph(s, cutoff=8.0, max_neighbors=12, pad=True) for s in CRYSTALS.values()]
    batch = batch_graphs(graphs, backend=backend)  # type: ignore[arg-type]
    offsets = np.cumsum([0, *(graph.n_atoms for graph in graphs)])
    neighbors = np.concatenate([graph.neighbors + start for graph, start in zip(graphs, offsets, strict=False)])
    torch.manual_seed(0)
    nodes = torch.randn(len(batch.atomic_numbers), 64, requires_grad=True)
    edges = torch.randn(len(batch.distances), 41)

    results, gradients, statistics = [], [], []
    for plain in (False, True):
        torch.manual_seed(1)
        convolution = CGCNNConvolution(64, 41)
        randomise(convolution, seed=2)
        convolution.train(training)
        if plain:
            by_atom = torch.from_numpy(neighbors).view(-1, 12)
            result = plain_convolution(convolution, nodes, by_atom, edges.view(*by_atom.shape, 41))
        else:
            result = convolution(nodes, batch, edges)
        loss = (result * torch.linspace(-1, 1, 64)).sum()
        gradients.append(torch.autograd.grad(loss, [nodes, *convolution.parameters()]))
        results.append(result.detach())
        statistics.append([convolution.bn1.running_mean, convolution.bn1.running_var, convolution.bn2.running_var])
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-5)
    for found, expected in zip(gradients[0], gradients[1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    for found, expected in zip(*statistics, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_training_mode_uses_the_batch_and_moves_the_statistics() -> None:
    encoder = cgcnn()
    batch = encoder.collate([encoder.prepare(structure) for structure in CRYSTALS.values()])
    before = {name: values.clone() for name, values in encoder.state_dict().items()}
    frozen = encoder(batch).nodes["conv2"]
    assert all(torch.equal(values, before[name]) for name, values in encoder.state_dict().items())
    trained = encoder.train()(batch).nodes["conv2"]
    assert not torch.allclose(trained, frozen, atol=1e-3)
    assert not torch.equal(encoder.convs[0].bn1.running_mean, before["convs.0.bn1.running_mean"])


def test_edge_features_are_the_published_gaussians() -> None:
    encoder = CGCNNEncoder()
    graph = neighbor_graph(CRYSTALS["Mg hcp"], cutoff=8.0, max_neighbors=12)
    found = encoder.edge_features(batch_graphs([graph]))
    expected = np.exp(-((graph.distances[:, None] - np.arange(0, 8.0 + 0.2, 0.2)) ** 2) / 0.2**2)
    assert found.shape == (24, 41)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_element_features() -> None:
    table = element_features()
    assert table.shape == (101, 92)
    assert not table[0].any()
    assert set(table.unique().tolist()) == {0, 1}
    assert len({tuple(row.tolist()) for row in table[1:]}) > 90  # elements can be told apart


@pytest.mark.parametrize(("symbol", "site"), [("Og", 1), ("Lr", 0)])
def test_an_element_without_features_is_refused_by_name(symbol: str, site: int) -> None:
    species = ["Na", "Na"]
    species[site] = symbol
    with pytest.raises(UnsupportedCrystalError, match=rf"{symbol} \(site {site}\)"):
        cgcnn().prepare(Structure(Lattice.cubic(4), species, [[0, 0, 0], [0.5, 0.5, 0.5]]))


def test_oxidation_states_do_not_matter() -> None:
    salt = CRYSTALS["NaCl rocksalt"]
    charged = salt.copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    encoder = cgcnn()
    one, other = (encoder(encoder.collate([encoder.prepare(s)])).nodes["conv2"] for s in (salt, charged))
    assert torch.equal(one, other)


def golden_tags() -> list[str]:
    return json.loads(GOLDEN.read_text())["experts"] if GOLDEN.is_file() else ["absent"]


@pytest.fixture(scope="module")
def golden() -> tuple[list[Structure], Tensor]:
    """The 48 crystals, and their embeddings by the original code ``[48, n_experts, 64]``."""
    embeddings, structures = load_file(GOLDEN.with_suffix(".safetensors")), []
    tasks = json.loads(GOLDEN.read_text())["tasks"]
    for task, rows in tasks.items():
        of_task, _ = read_structures(DATA / "benchmark" / f"{task}.parquet")
        structures += [of_task[row] for row in rows]
    return structures, torch.cat([embeddings[task] for task in tasks])


@needs_reference
@pytest.mark.parametrize(
    # None of these crystals has a tie at the cut, so one expert is enough to show that the rules agree on them.
    ("tag", "ties"),
    [*((tag, "canonical") for tag in golden_tags()), (golden_tags()[0], "order")],
)
def test_published_experts_give_their_published_embeddings(
    tag: str, ties: str, golden: tuple[list[Structure], Tensor], tmp_path: Path
) -> None:
    structures, expected = golden
    card = import_cgcnn(REFERENCE / f"{tag}.safetensors", folder=tmp_path, ties=ties)  # type: ignore[arg-type]
    expert = load_expert(tmp_path)
    assert (expert.tag, expert.dim, card.settings["ties"]) == (tag, 64, ties)
    found = expert.embed(structures)
    np.testing.assert_allclose(found, expected[:, golden_tags().index(tag)], atol=2e-4)
    published, ours = load_file(REFERENCE / f"{tag}.safetensors"), expert.state_dict()
    kept = {name for name in published if not name.startswith(("conv_to_fc", "fc_out"))}
    assert {f"encoder.{name}" for name in kept} == set(ours)
    assert all(torch.equal(ours[f"encoder.{name}"], published[name]) for name in kept)
