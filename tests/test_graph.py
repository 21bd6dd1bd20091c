"""Neighbour graphs: the right edges, and the same ones however a crystal is written."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from strategies import ordered_structures, reference_crystals, rotated, rotations

from moe_mat.graphs.nearest_neighbors import TIE_TOLERANCE, CrystalGraph, neighbor_graph
from moe_mat.graphs.radius import pairs_of_bonds

CRYSTALS = reference_crystals()
SETTINGS = {"cutoff": 6.0, "max_neighbors": 12}


def brute_force(structure: Structure, *, cutoff: float, max_neighbors: int) -> list[list[tuple[int, float]]]:
    """The canonical rule, spelled out: by shell of equal distance, in each shell the heaviest first."""
    chosen = []
    for neighbors in structure.get_all_neighbors(cutoff):
        by_distance = sorted(neighbors, key=lambda neighbor: neighbor.nn_distance)
        shell, ranked = 0, []
        for i, neighbor in enumerate(by_distance):
            shell += i > 0 and neighbor.nn_distance - by_distance[i - 1].nn_distance > TIE_TOLERANCE
            ranked.append((shell, -neighbor.specie.Z, neighbor.nn_distance))
        chosen.append(sorted((-z, round(d, 3)) for _, z, d in sorted(ranked)[:max_neighbors]))
    return chosen


@pytest.mark.parametrize("name", CRYSTALS)
def test_edges_are_those_of_a_plain_search(name: str) -> None:
    structure = CRYSTALS[name]
    graph = neighbor_graph(structure, cutoff=6.0, max_neighbors=10_000)
    for i, expected in enumerate(structure.get_all_neighbors(6.0)):
        mine = graph.centers == i
        found = sorted(zip(graph.neighbors[mine].tolist(), graph.distances[mine].tolist(), strict=True))
        wanted = sorted((neighbor.index, neighbor.nn_distance) for neighbor in expected)
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-5)


@pytest.mark.parametrize("name", CRYSTALS)
def test_canonical_rule_is_that_of_a_plain_search(name: str) -> None:
    graph = neighbor_graph(CRYSTALS[name], **SETTINGS)
    for i, expected in enumerate(brute_force(CRYSTALS[name], **SETTINGS)):
        mine = graph.centers == i
        elements = graph.atomic_numbers[graph.neighbors[mine]].tolist()
        found = sorted(zip(elements, np.round(graph.distances[mine].astype(float), 3).tolist(), strict=True))
        np.testing.assert_allclose(np.array(found), np.array(expected), atol=2e-3)


@given(structure=ordered_structures(max_sites=5), max_neighbors=st.integers(1, 20))
def test_nearest_neighbours_of_any_crystal(structure: Structure, max_neighbors: int) -> None:
    for ties in ("canonical", "order"):
        graph = neighbor_graph(structure, cutoff=5.0, max_neighbors=max_neighbors, ties=ties)
        assert (np.diff(graph.centers) >= 0).all()
        for i, neighbors in enumerate(structure.get_all_neighbors(5.0)):
            nearest = sorted(neighbor.nn_distance for neighbor in neighbors)[:max_neighbors]
            np.testing.assert_allclose(np.sort(graph.distances[graph.centers == i]), nearest, atol=TIE_TOLERANCE * 2)


def test_a_tie_goes_to_the_heavier_element() -> None:
    # Oxygen has two Ti at 1.95 Å, then four Ca and eight O at 2.76 Å: room for five cuts that shell.
    graph = neighbor_graph(CRYSTALS["CaTiO3 perovskite"], cutoff=8.0, max_neighbors=5)
    for oxygen in (2, 3, 4):
        elements = Counter(graph.atomic_numbers[graph.neighbors[graph.centers == oxygen]].tolist())
        assert elements == {22: 2, 20: 3}
    with pytest.raises(ValueError, match="'canonical' or 'order', not 'distance'"):
        neighbor_graph(CRYSTALS["CaTiO3 perovskite"], **SETTINGS, ties="distance")  # type: ignore[arg-type]


def colours(graph: CrystalGraph) -> Counter[int]:
    """Atoms told apart by all that a graph network of three layers could see; independent of the order of sites."""
    colour = [hash((z,)) for z in graph.atomic_numbers.tolist()]
    distances = np.round(graph.distances.astype(float), 2)
    for _ in range(3):
        around: list[list[tuple[float, int]]] = [[] for _ in colour]
        for center, neighbor, distance in zip(graph.centers, graph.neighbors, distances, strict=True):
            around[center].append((float(distance), colour[neighbor]))
        colour = [hash((old, *sorted(seen))) for old, seen in zip(colour, around, strict=True)]
    return Counter(colour)


@st.composite
def tied_structures(draw: st.DrawFn) -> Structure:
    """Atoms on a cubic grid, some points of it empty: equal distances to sites that are not equivalent.

    Lengths in steps of 0.03 Å, so that no distance lies on the edge of a rounding step.
    """
    length = draw(st.integers(130, 330)) * 0.03 + 0.001
    points = draw(st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True))
    species = [draw(st.sampled_from(["Na", "Cl"])) for _ in points]
    return Structure(
        Lattice.cubic(length), species, [[(point >> axis & 1) / 2 for axis in range(3)] for point in points]
    )


@pytest.mark.parametrize("pad", [False, True])
@given(structure=tied_structures(), rotation=rotations(), seed=st.integers(0, 100))
def test_canonical_graph_does_not_depend_on_how_a_crystal_is_written(
    pad: bool, structure: Structure, rotation: np.ndarray, seed: int
) -> None:
    settings = {"cutoff": 7.03, "max_neighbors": 12, "pad": pad}
    expected = colours(neighbor_graph(structure, **settings))
    order = np.random.default_rng(seed).permutation(len(structure))
    turned = rotated(Structure.from_sites([structure[i] for i in order]), rotation)
    turned.translate_sites(range(len(turned)), [0.37, -1.21, 0.55], to_unit_cell=False)
    assert colours(neighbor_graph(turned, **settings)) == expected
    doubled = colours(neighbor_graph(structure * [[2, 0, 0], [1, 1, 0], [0, 0, 1]], **settings))
    assert doubled == {colour: 2 * count for colour, count in expected.items()}


@pytest.mark.parametrize("name", CRYSTALS)
def test_canonical_graph_of_real_crystals(name: str) -> None:
    structure = CRYSTALS[name]
    expected = colours(neighbor_graph(structure, **SETTINGS))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        shuffled = Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])
        assert colours(neighbor_graph(rotated(shuffled, rotation), **SETTINGS)) == expected


def test_published_rule_keeps_the_order_of_the_search() -> None:
    """What made the published embeddings of cubic perovskites depend on the order of the sites."""
    sites = list(CRYSTALS["CaTiO3 perovskite"])
    written = [Structure.from_sites(order) for order in (sites, sites[::-1], sites[2:] + sites[:2])]
    settings = {"cutoff": 8.0, "max_neighbors": 12}
    by_order = [colours(neighbor_graph(structure, **settings, ties="order")) for structure in written]
    canonical = [colours(neighbor_graph(structure, **settings)) for structure in written]
    assert any(graph != by_order[0] for graph in by_order)
    assert all(graph == canonical[0] for graph in canonical)


@pytest.mark.parametrize(("ties", "partner"), [("order", 0), ("canonical", 1)])
def test_missing_neighbours_are_padded(ties: str, partner: int) -> None:
    far_apart = Structure(Lattice.cubic(30), ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0, 0]])
    graph = neighbor_graph(far_apart, cutoff=8.0, max_neighbors=4, ties=ties, pad=True)  # type: ignore[arg-type]
    assert graph.centers.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert graph.neighbors[4:8].tolist() == [partner] * 4
    assert graph.distances.tolist() == [3, 9, 9, 9, 9, 9, 9, 9, 3, 9, 9, 9]
    assert graph.neighbors[[0, 8]].tolist() == [2, 0]


def test_isolated_atoms_have_no_edges_without_padding() -> None:
    graph = neighbor_graph(CRYSTALS["isolated Ar"], cutoff=8.0, max_neighbors=12)
    assert graph.n_atoms == 1
    assert len(graph.centers) == len(graph.neighbors) == len(graph.distances) == 0
    assert graph.centers.dtype == graph.neighbors.dtype == np.int64
    assert graph.distances.dtype == np.float32


def test_pairs_of_bonds() -> None:
    one, other = pairs_of_bonds(np.array([0, 0, 2, 2, 2, 5]))
    assert {(int(a), int(b)) for a, b in zip(one, other, strict=True)} == {
        *[(0, 1), (1, 0)],
        *[(2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)],
    }
