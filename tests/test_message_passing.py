"""The primitives on DGL and on torch: the same numbers and gradients, for full, sparse and empty neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from torch import Tensor
from toy_experts import cgcnn

from moe_mat.graphs import message_passing
from moe_mat.graphs.message_passing import (
    DGLBatch,
    GraphBatch,
    TorchBatch,
    batch_graphs,
    to_dgl,
)
from moe_mat.graphs.nearest_neighbors import CrystalGraph, neighbor_graph

needs_dgl = pytest.mark.skipif(message_passing.dgl is None, reason="DGL has no wheel for this Python")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
BACKENDS = ["torch", pytest.param("dgl", marks=needs_dgl)]

CRYSTALS = reference_crystals()
DENSE = [CRYSTALS[name] for name in ("CaTiO3 perovskite", "Mg hcp", "CsCl")]
# Atoms with all, some and none of their neighbours, an isolated atom first and last.
PAIR_AND_LONER = Structure(Lattice.cubic(30), ["Na", "Cl", "O"], [[0, 0, 0], [0.5] * 3, [0.6, 0.5, 0.5]])
SPARSE = [CRYSTALS["isolated Ar"], *DENSE, PAIR_AND_LONER, CRYSTALS["isolated Ar"]]
ISOLATED = [CRYSTALS["isolated Ar"]] * 2
BATCHES = {"dense": DENSE, "sparse": SPARSE, "isolated": ISOLATED}


def graphs(structures: Sequence[Structure]) -> list[CrystalGraph]:
    return [neighbor_graph(structure, cutoff=8.0, max_neighbors=12) for structure in structures]


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def passes(batch: GraphBatch) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Results and gradients of a message-passing step like that of CGCNN, the in-place product included."""
    n_atoms, n_edges = len(batch.atomic_numbers), len(batch.distances)
    center, neighbor, weight = random(n_atoms, 5, seed=1), random(n_atoms, 5, seed=2), random(5, 5, seed=3)
    edges = random(n_edges, 5, seed=4)
    gathered = batch.gather_add(center, neighbor)
    results = {"gather_add": gathered.clone()}
    results["edge_sum"] = batch.edge_sum(gathered.addmm_(edges, weight).tanh())
    results["node_mean"] = batch.node_mean(results["edge_sum"] * center)
    inputs = [center, neighbor, weight, edges]
    loss = sum((values.square() * random(*values.shape, seed=5)).sum() for values in results.values())
    return results, list(torch.autograd.grad(loss, inputs))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("structures", BATCHES.values(), ids=BATCHES)
def test_primitives_do_what_they_say(structures: list[Structure], backend: message_passing.Backend) -> None:
    made = graphs(structures)
    batch = batch_graphs(made, backend=backend)
    assert isinstance(batch, TorchBatch if backend == "torch" else DGLBatch)
    center, neighbor = (random(len(batch.atomic_numbers), 3, seed=seed).detach() for seed in (1, 2))
    expected_edges, expected_sums, expected_means, start = [], [], [], 0
    for graph in made:
        here = slice(start, start + graph.n_atoms)
        edges = torch.stack(
            [center[here][i] + neighbor[here][j] for i, j in zip(graph.centers, graph.neighbors, strict=True)]
            or [torch.zeros(0, 3)]
        ).view(-1, 3)
        expected_edges.append(edges)
        expected_sums += [edges[torch.from_numpy(graph.centers == i)].sum(0) for i in range(graph.n_atoms)]
        expected_means.append(center[here].mean(0))
        start += graph.n_atoms
    assert batch.n_crystals == len(made)
    torch.testing.assert_close(batch.gather_add(center, neighbor), torch.cat(expected_edges))
    torch.testing.assert_close(batch.edge_sum(torch.cat(expected_edges)), torch.stack(expected_sums))
    torch.testing.assert_close(batch.node_mean(center), torch.stack(expected_means))
    torch.testing.assert_close(batch.distances, torch.cat([torch.from_numpy(graph.distances) for graph in made]))
    n_atoms = torch.tensor([graph.n_atoms for graph in made])
    assert torch.equal(batch.crystal_of_node, torch.repeat_interleave(torch.arange(len(made)), n_atoms))


@needs_dgl
@pytest.mark.parametrize("structures", BATCHES.values(), ids=BATCHES)
def test_backends_give_equal_values_and_gradients(structures: list[Structure]) -> None:
    made = graphs(structures)
    (expected, expected_gradients), (found, gradients) = (
        passes(batch_graphs(made, backend=backend)) for backend in ("torch", "dgl")
    )
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, msg=lambda text, name=name: f"{name}: {text}")
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted)


@needs_dgl
def test_cgcnn_gives_the_same_gradients_on_both_backends() -> None:
    encoder = cgcnn(pad=False)
    found = {}
    for backend in ("torch", "dgl"):
        encoder.zero_grad()
        batch = batch_graphs(graphs(SPARSE), backend=backend)
        layer = encoder(batch).nodes["conv2"]
        batch.node_mean(layer).square().sum().backward()
        found[backend] = [layer.detach(), *(parameter.grad.clone() for parameter in encoder.parameters())]
    for one, other in zip(found["torch"], found["dgl"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_its_crystals(backend: message_passing.Backend) -> None:
    encoder = cgcnn(pad=False)
    batch = batch_graphs(graphs(SPARSE), backend=backend)
    with torch.no_grad():
        together = batch.node_mean(encoder(batch).nodes["conv2"])
        for row, graph in zip(together, graphs(SPARSE), strict=True):
            alone = batch_graphs([graph], backend=backend)
            torch.testing.assert_close(alone.node_mean(encoder(alone).nodes["conv2"])[0], row)


@pytest.mark.parametrize("structures", [DENSE, SPARSE])
def test_full_neighbourhoods_take_the_short_cut_and_others_do_not(structures: list[Structure]) -> None:
    batch = batch_graphs(graphs(structures), backend="torch")
    assert isinstance(batch, TorchBatch)
    assert bool(batch.degree) == (structures is DENSE)


def test_equal_numbers_of_edges_alone_do_not_make_full_neighbourhoods() -> None:
    """Four edges on two atoms, but three of them on the first."""
    distances = torch.ones(4)
    batch = TorchBatch(
        torch.tensor([1, 1]),
        torch.tensor([0, 0, 0, 1]),
        torch.tensor([1, 0, 1, 0]),
        distances,
        torch.zeros(2).long(),
        1,
    )
    assert batch.edge_sum(torch.ones(4, 1)).tolist() == [[3], [1]]


@needs_dgl
def test_dgl_is_taken_where_it_is_installed() -> None:
    assert isinstance(batch_graphs(graphs(DENSE)), DGLBatch)


def test_without_dgl_torch_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_passing, "dgl", None)
    made = graphs(SPARSE)
    batch = batch_graphs(made)
    assert isinstance(batch, TorchBatch)
    assert torch.isfinite(passes(batch)[0]["node_mean"]).all()
    for ask_for_dgl in (lambda: batch_graphs(made, backend="dgl"), lambda: to_dgl(made[0])):
        with pytest.raises(ImportError, match="pip install dgl"):
            ask_for_dgl()


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"auto.*'jax'"):
        batch_graphs(graphs(DENSE), backend="jax")  # type: ignore[arg-type]


@needs_cuda
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gpu_gives_the_same_numbers(backend: message_passing.Backend) -> None:
    encoder, batch = cgcnn(pad=False), batch_graphs(graphs(SPARSE), backend=backend)
    with torch.no_grad():
        expected = encoder(batch).nodes["conv2"]
        moved = batch.to("cuda")
        assert isinstance(moved, TorchBatch)
        found = encoder.to("cuda")(moved).nodes["conv2"].cpu()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_moving_a_batch_takes_every_tensor_along(backend: message_passing.Backend) -> None:
    """Without a GPU: the meta device has no numbers, but tells where a tensor is."""
    batch = batch_graphs(graphs(SPARSE), backend=backend)
    assert batch.to("cpu").distances is batch.distances
    moved = batch.to("meta")
    assert isinstance(moved, TorchBatch)
    assert moved.n_crystals == batch.n_crystals
    tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
    assert len(tensors) == 5
    assert all(tensor.device.type == "meta" for tensor in tensors)
