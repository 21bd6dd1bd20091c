"""Crystals are embedded by several processes: the same bits, the same refusals, and an orderly end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from toy_experts import cgcnn_expert, network_expert

from moe_mat import MoERegressor
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import get_encoder
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.mixture import crystal_inputs
from moe_mat.zoo import embeddings
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.embeddings import embed, embed_stream
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.find import find_cards

CRYSTALS = list(reference_crystals().values())
OGANESSON = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])


def crystals(structures: list[Structure]) -> list[Crystal]:
    return [Crystal(f"crystal-{i}", structure, {}, "memory") for i, structure in enumerate(structures)]


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    last, other = (cgcnn_expert(tmp_path, tag, seed=seed) for seed, tag in enumerate(["last", "other"]))
    wide = cgcnn_expert(tmp_path, "wide", seed=2, width=12, cutoff=6.0, max_neighbors=8)
    return [last, other, wide, network_expert(tmp_path, "network", trunk=[last, wide], sizes=[5], seed=3)]


@pytest.fixture
def stretched() -> list[Structure]:
    found = []
    for i in range(24):
        crystal = CRYSTALS[i % 6].copy()
        found.append(crystal.scale_lattice(crystal.volume * (1 + 0.01 * i)))
    return found


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_give_the_same_bits(
    cards: list[ExpertCard], stretched: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "MOST_CRYSTALS", 4)
    monkeypatch.setattr(embeddings, "STREAM_CHUNK", 8)
    # The third chunk has a crystal of the second one, which is not to be computed in other company.
    structures = [*stretched[:5], OGANESSON, *stretched[5:16], stretched[9], *stretched[16:], OGANESSON]
    steps: list[int] = []
    several = embed(cards, structures, advance=steps.append, workers=2)
    one = embed(cards, structures)
    assert sum(steps) == len(structures)
    assert several.refused == one.refused
    assert several.refused.keys() == {5, len(structures) - 1}
    for tag, values in one.values.items():
        np.testing.assert_array_equal(several.values[tag], values)

    def streamed(workers: int) -> tuple[list[str], list[LeftOut], dict[str, np.ndarray]]:
        left_out: list[LeftOut] = []
        chunks = list(embed_stream(cards, crystals(structures), refuse=left_out.append, workers=workers))
        with EmbeddingCache() as cache:
            cache.clear()
        together = {card.tag: np.concatenate([values[card.tag] for _, values in chunks]) for card in cards}
        return [crystal.material_id for chunk, _ in chunks for crystal in chunk], left_out, together

    (ids, left_out, values), (ids_of_two, left_out_of_two, values_of_two) = streamed(1), streamed(2)
    assert (ids, left_out) == (ids_of_two, left_out_of_two)
    assert len(ids) == len(structures) - 2
    for tag in values:
        np.testing.assert_array_equal(values[tag], values_of_two[tag])


@pytest.mark.usefixtures("one_thread")
def test_processes_prepare_crystals_for_encoders_on_a_gpu_and_do_the_rest_themselves(
    cards: list[ExpertCard], stretched: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU takes the place of the GPU, which this process alone would have."""
    cards += find_cards("magpie")
    monkeypatch.setattr(embeddings, "MOST_CRYSTALS", 4)
    structures = [*stretched, OGANESSON]
    one = embed(cards, structures)
    calls: list[str] = []
    for encoder in (CGCNNEncoder, get_encoder("descriptors")):
        for name in ("prepare", "forward"):
            monkeypatch.setattr(encoder, name, told(getattr(encoder, name), f"{encoder.name} {name}", calls))
    monkeypatch.setattr(ExpertLoader, "on_gpu", property(lambda loader: True))
    several = embed(cards, structures, workers=2)
    assert set(calls) == {"cgcnn forward"}
    assert several.refused == one.refused
    for tag, values in one.values.items():
        np.testing.assert_array_equal(several.values[tag], values)


def told(function: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def telling(*arguments: Any) -> Any:
        calls.append(name)
        return function(*arguments)

    return telling


def test_no_process_is_too_few(cards: list[ExpertCard]) -> None:
    with pytest.raises(ValueError, match="workers is 0: at least 1 is needed"):
        embed(cards, CRYSTALS, workers=0)


def test_a_process_that_ends_is_named_and_leaves_none_behind(
    cards: list[ExpertCard], stretched: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "MOST_CRYSTALS", 2)

    def kill(n: int) -> None:
        for process in multiprocessing.active_children() if n else []:
            process.kill()

    with pytest.raises(OSError, match=r"a process that embeds crystals has ended.*fewer workers"):
        embed(cards, stretched, advance=kill, workers=2)
    assert not multiprocessing.active_children()


def test_crystals_are_embedded_by_as_many_processes_as_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    embed_parts = crystal_inputs.embed_parts

    def in_one(*arguments: Any, workers: int, **others: Any) -> Any:
        given.append(workers)
        return embed_parts(*arguments, **others)

    monkeypatch.setattr(crystal_inputs, "embed_parts", in_one)
    structures, table = load_quickstart()
    model = MoERegressor("magpie", head="mlp", n_members=1, max_epochs=2, n_jobs=3, random_state=0)
    model.fit(structures[:20], table["bulk_modulus"][:20])
    model.set_params(n_jobs=None).predict(structures[:2])
    assert given == [3, 1]
