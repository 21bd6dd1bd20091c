"""Embeddings of many crystals by many experts: the experts' own numbers, computed once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from threadpoolctl import threadpool_info, threadpool_limits
from toy_experts import cgcnn_expert, network_expert

from moe_mat import load_expert
from moe_mat.crystals.errors import CrystalError, LeftOut
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import Encoder
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.zoo import embeddings, experts
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard, ExpertCard, write_card
from moe_mat.zoo.embeddings import embed, embed_stream
from moe_mat.zoo.experts import EncoderExpert
from moe_mat.zoo.trunks import EmbeddingOrder

CRYSTALS = list(reference_crystals().values())
OGANESSON = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    """Two layers of one encoder, another encoder on the same graphs, one on others, and networks on networks."""
    hub = tmp_path / "hub"
    last = cgcnn_expert(hub, "last")
    first = dataclasses.replace(
        last, tag="first", readout=Readout(("conv1",), ("mean", "std")), dim=16, path=hub / "first.yaml"
    )
    write_card(first)
    other = cgcnn_expert(hub, "other", seed=1)
    wide = cgcnn_expert(hub, "wide", seed=2, width=12, cutoff=6.0, max_neighbors=8)
    network = network_expert(hub, "network", trunk=[last, wide], sizes=[5], seed=3)
    tower = network_expert(hub, "tower", trunk=[network, other], sizes=[4], seed=4)
    return [last, first, other, wide, network, tower]


class Counts(Counter[str]):
    """Crystals that were prepared and batches that went through an encoder."""


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found = Counts()
    prepare, forward = CGCNNEncoder.prepare, CGCNNEncoder.forward

    def counting_prepare(self: CGCNNEncoder, structure: Structure) -> object:
        found["prepared"] += 1
        return prepare(self, structure)

    def counting_forward(self: CGCNNEncoder, batch: object) -> object:
        found["encoded"] += 1
        return forward(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(CGCNNEncoder, "prepare", counting_prepare)
    monkeypatch.setattr(CGCNNEncoder, "forward", counting_forward)
    return found


def assert_own_embeddings(values: dict[str, np.ndarray], cards: list[ExpertCard], structures: list[Structure]) -> None:
    assert list(values) == [card.tag for card in cards]
    for card in cards:
        assert values[card.tag].dtype == np.float32
        expected = load_expert(card.path).embed(structures)
        np.testing.assert_allclose(values[card.tag], expected, rtol=1e-4, atol=1e-5, err_msg=card.tag)


@pytest.mark.parametrize("cached", [False, True])
def test_embeddings_are_those_of_the_experts(cached: bool, cards: list[ExpertCard]) -> None:
    structures = [*CRYSTALS, *CRYSTALS[:3]]
    with EmbeddingCache() as cache:
        embedded = embed(cards, structures, cache=cache if cached else None)
        assert embedded.refused == {}
        assert_own_embeddings(embedded.values, cards, structures)
        again = embed(cards[::-1], structures[::-1], cache=cache if cached else None)
    for tag, values in again.values.items():
        np.testing.assert_allclose(values[::-1], embedded.values[tag], rtol=1e-4, atol=1e-5)


def test_what_experts_stand_on_is_met_once_and_in_order(cards: list[ExpertCard]) -> None:
    last, _, other, wide, network, tower = cards
    order = EmbeddingOrder.of([tower, network, last])
    assert order.digests == {card.tag: card.digest for card in (tower, network, last)}
    assert list(order.roots.values()) == [last, wide, other]
    assert {digest: step.trunk for digest, step in order.networks.items()} == {
        network.digest: (last.digest, wide.digest),
        tower.digest: (network.digest, other.digest),
    }
    assert list(order.networks) == [network.digest, tower.digest]


def test_experts_share_what_they_can(cards: list[ExpertCard], counts: Counts) -> None:
    embed(cards, CRYSTALS)
    # One pass for "last" and "first", one for "other" on the same graphs, one for "wide" on graphs of its own.
    assert counts == {"prepared": 2 * len(CRYSTALS), "encoded": 3}


def test_a_warm_cache_computes_nothing(
    cards: list[ExpertCard], counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddingCache() as cache:
        first = embed(cards, CRYSTALS, cache=cache)
    counts.clear()
    monkeypatch.setattr(experts, "EncoderExpert", None)  # nor are the weights read
    copies = [Structure.from_dict(crystal.as_dict()) for crystal in CRYSTALS]
    with EmbeddingCache() as cache:
        second = embed(cards, copies, cache=cache)
    assert not counts
    for tag, values in first.values.items():
        np.testing.assert_array_equal(second.values[tag], values)


def test_only_what_is_new_is_computed(cards: list[ExpertCard], counts: Counts) -> None:
    last, _, other, *_ = cards
    with EmbeddingCache() as cache:
        embed([last], CRYSTALS[:6], cache=cache)
        counts.clear()
        embed([last, other], CRYSTALS[:6], cache=cache)  # a new expert
        assert counts == {"prepared": 6, "encoded": 1}
        counts.clear()
        embed([last], CRYSTALS, cache=cache)  # new crystals
        assert counts == {"prepared": len(CRYSTALS) - 6, "encoded": 1}


def test_changed_weights_are_not_mistaken_for_the_old_ones(tmp_path: Path) -> None:
    with EmbeddingCache() as cache:
        for seed in range(2):
            card = cgcnn_expert(tmp_path, "toy", seed=seed)
            assert_own_embeddings(embed([card], CRYSTALS, cache=cache).values, [card], CRYSTALS)


def test_refused_crystals_are_nan_with_a_reason(cards: list[ExpertCard], counts: Counts) -> None:
    structures = [CRYSTALS[0], OGANESSON, CRYSTALS[1], OGANESSON]
    with EmbeddingCache() as cache:
        for _ in range(2):  # the second time with a warm cache
            embedded = embed(cards, structures, cache=cache)
            assert embedded.refused.keys() == {1, 3}
            assert "element Og (site 0)" in embedded.refused[1]
            assert "expert last" in embedded.refused[1]
            for tag, values in embedded.values.items():
                assert np.isnan(values[[1, 3]]).all(), tag
            good = {tag: values[[0, 2]] for tag, values in embedded.values.items()}
            assert_own_embeddings(good, cards, CRYSTALS[:2])
    nothing_left = embed(cards, [OGANESSON])
    assert nothing_left.refused.keys() == {0}
    assert all(np.isnan(values).all() for values in nothing_left.values.values())


def test_no_crystals(cards: list[ExpertCard]) -> None:
    assert {tag: v.shape for tag, v in embed(cards, []).values.items()} == {card.tag: (0, card.dim) for card in cards}


@pytest.mark.parametrize("warm", [0, 4])
def test_progress_ends_at_the_number_of_crystals(warm: int, cards: list[ExpertCard]) -> None:
    structures, steps = [*CRYSTALS, OGANESSON, *CRYSTALS[:5]], []
    with EmbeddingCache() as cache:
        embed(cards, CRYSTALS[:warm], cache=cache)
        embed(cards, structures, cache=cache, advance=steps.append)
    assert sum(steps) == len(structures)


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card, sizes = cgcnn_expert(tmp_path, "toy"), []
    collate = CGCNNEncoder.collate
    monkeypatch.setattr(CGCNNEncoder, "collate", lambda self, samples: sizes.append(samples) or collate(self, samples))
    monkeypatch.setattr(embeddings, "MOST_CRYSTALS", 4)
    monkeypatch.setattr(embeddings, "MOST_ATOMS", 9)
    structures = [CRYSTALS[0] * (n, 1, 1) for n in (3, 1)] + CRYSTALS
    embed([card], structures)
    assert sum(map(len, sizes)) == len({id(s) for s in structures}) - 1  # a cell of CaTiO3 is in CRYSTALS too
    for samples in sizes:
        assert len(samples) <= 4
        assert len(samples) == 1 or sum(sample.n_atoms for sample in samples) <= 9


def test_one_thread_of_the_blas_computes_and_the_others_come_back(
    cards: list[ExpertCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    seen: list[set[int]] = []
    for name in ("prepare", "forward"):
        plain = getattr(CGCNNEncoder, name)
        monkeypatch.setattr(CGCNNEncoder, name, lambda self, one, of=plain: seen.append(threads()) or of(self, one))
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        embed(cards, CRYSTALS[:3])
        load_expert(cards[0].path).embed(CRYSTALS[:1])
        assert threads() == before
    assert len(seen) > 4
    assert all(found == {1} for found in seen)


# Streams


def crystals(structures: list[Structure]) -> list[Crystal]:
    return [Crystal(f"crystal-{i}", structure, {}, "memory") for i, structure in enumerate(structures)]


def test_a_stream_keeps_the_order_and_names_what_it_leaves_out(
    cards: list[ExpertCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "STREAM_CHUNK", 4)
    structures = [*CRYSTALS[:5], OGANESSON, *CRYSTALS[5:], *[OGANESSON] * 8]
    left_out: list[LeftOut] = []
    ids, rows = [], []
    for chunk, values in embed_stream(cards, crystals(structures), refuse=left_out.append):
        ids += [crystal.material_id for crystal in chunk]
        rows.append(values)
    kept = [i for i, structure in enumerate(structures) if structure is not OGANESSON]
    assert ids == [f"crystal-{i}" for i in kept]
    assert [out.material_id for out in left_out] == [f"crystal-{i}" for i in range(len(structures)) if i not in kept]
    assert all("Og" in out.reason for out in left_out)
    together = {card.tag: np.concatenate([row[card.tag] for row in rows]) for card in cards}
    assert_own_embeddings(together, cards, CRYSTALS)


def test_a_stream_that_may_not_skip_stops(cards: list[ExpertCard]) -> None:
    def refuse(left_out: LeftOut) -> None:
        raise CrystalError(left_out)

    with pytest.raises(CrystalError, match=r"memory, crystal 'crystal-1'.*Og"):
        list(embed_stream(cards, crystals([CRYSTALS[0], OGANESSON]), refuse=refuse))


def test_a_stream_reads_no_further_than_it_must(
    cards: list[ExpertCard], counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "STREAM_CHUNK", 3)
    read = 0

    def many() -> Iterator[Crystal]:
        nonlocal read
        for read in range(1, 50):
            stretched = CRYSTALS[read % 5].copy()
            stretched.scale_lattice(stretched.volume * (1 + 0.001 * read))
            yield Crystal(str(read), stretched, {}, "memory")

    stream = embed_stream(cards[:1], many(), refuse=lambda left_out: None)
    for chunks in range(1, 4):
        chunk, values = next(stream)
        assert len(chunk) == len(values["last"]) == 3
        assert read == counts["prepared"] == 3 * chunks
    stream.close()


def test_a_stream_loads_its_experts_once(cards: list[ExpertCard], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    build = experts.EncoderExpert

    def counting(card: EncoderCard, encoder: Encoder) -> EncoderExpert:
        loaded.append(card.tag)
        return build(card, encoder)

    monkeypatch.setattr(experts, "EncoderExpert", counting)
    monkeypatch.setattr(embeddings, "STREAM_CHUNK", 3)
    assert len(list(embed_stream(cards, crystals(CRYSTALS), refuse=lambda left_out: None))) > 3
    assert sorted(loaded) == ["first", "last", "other", "wide"]
