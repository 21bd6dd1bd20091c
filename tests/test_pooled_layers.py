"""One row for all experts of an encoder: each finds its own embedding in it, bit by bit."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from strategies import reference_crystals
from toy_cache import row_of

from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.pooled_layers import Block, PooledLayers, embeddings_of, layout_of

CRYSTALS = list(reference_crystals().values())
ROW = PooledLayers(
    layout_of(
        (
            Block("conv1", "mean", "none", 2),
            Block("conv1", "std", "none", 2),
            Block("energy", "", "none", 1),
            Block("conv2", "mean", "softplus", 2),
        )
    ),
    np.arange(7, dtype=np.float32),
)


@pytest.mark.parametrize(
    ("readout", "columns"),
    [
        (Readout(("conv1",)), [0, 1]),
        (Readout(("conv1",), ("std",)), [2, 3]),
        (Readout(("conv1",), ("std", "mean"), "none"), [2, 3, 0, 1]),
        (Readout(("energy", "conv1"), ("mean", "std")), [4, 0, 1, 2, 3]),
        (Readout(("conv2",), ("mean",), "softplus"), [5, 6]),
        (Readout(("conv2",), ("mean",)), None),
        (Readout(("conv2",), ("mean", "std"), "softplus"), None),
        (Readout(("conv1", "conv3")), None),
    ],
)
def test_an_expert_finds_its_columns(readout: Readout, columns: list[int] | None) -> None:
    found = ROW.layout.columns(readout)
    assert (found if found is None else found.tolist()) == columns


def test_joined_rows_have_each_block_once_and_keep_their_own_values() -> None:
    other = PooledLayers(
        layout_of((Block("conv3", "mean", "none", 1), Block("conv1", "std", "none", 2))),
        np.array([9, 8, 7], dtype=np.float32),
    )
    joined = ROW.joined(other)
    assert joined.layout.blocks == (*ROW.layout.blocks, other.layout.blocks[0])
    assert joined.values.tolist() == [*range(7), 9]
    assert other.joined(ROW).values.tolist() == [9, 8, 7, 0, 1, 4, 5, 6]
    assert ROW.joined(ROW) is ROW


def test_a_row_goes_to_other_processes() -> None:
    copy = pickle.loads(pickle.dumps(ROW))
    assert copy.layout is ROW.layout
    np.testing.assert_array_equal(copy.values, ROW.values)


def chgnets() -> list[EncoderCard]:
    return [card for card in find_cards("chgnet*") if isinstance(card, EncoderCard) and card.tag != "chgnet_r2scan"]


def own_embeddings(cards: Sequence[EncoderCard]) -> dict[str, np.ndarray]:
    """As each expert alone computes them, from one batch."""
    loader, found = ExpertLoader(), {}
    with torch.inference_mode():
        for card in cards:
            expert = loader.encoder_expert(card)
            samples = [expert.encoder.prepare(crystal) for crystal in CRYSTALS]
            found[card.tag] = expert(expert.encoder(expert.encoder.collate(samples))).float().numpy()
    return found


def test_layers_of_one_encoder_are_stored_once_and_are_the_experts_own_bits(tmp_path: Path) -> None:
    cards = chgnets()
    assert [card.tag for card in cards] == ["chgnet", *(f"chgnet_conv{n}" for n in range(1, 5))]
    expected = own_embeddings(cards)
    with EmbeddingCache(tmp_path) as cache:
        computed = embed(cards, CRYSTALS, cache=cache)
        (row,) = cache.spaces().to_dict("records")
        assert row["bytes"] == len(CRYSTALS) * cards[0].dim * 4
        cached = embed(cards, CRYSTALS, cache=cache)
    for tag, values in expected.items():
        assert values.tobytes() == computed.values[tag].tobytes() == cached.values[tag].tobytes(), tag


def test_an_expert_that_reads_more_keeps_the_bits_of_those_before_it(tmp_path: Path) -> None:
    cards = chgnets()
    narrow = cards[2:4]
    with EmbeddingCache(tmp_path) as cache:
        first = embed(narrow, CRYSTALS, cache=cache)
        embed(cards, CRYSTALS[:2], cache=cache)  # another batch, in which the last bits may differ
        again = embed(narrow, CRYSTALS, cache=cache)
        for tag, values in first.values.items():
            assert values.tobytes() == again.values[tag].tobytes(), tag
        (row,) = cache.spaces().to_dict("records")
        assert row["entries"] == len(CRYSTALS)
        assert row["experts"] == ", ".join(card.tag for card in cards)


def test_a_crystal_without_a_row_is_nan() -> None:
    card = chgnets()[1]
    rows = [row_of(np.full(card.dim, 2.0), "conv9"), None]
    (found,) = embeddings_of(rows, [card])
    assert found.shape == (2, card.dim)
    assert np.isnan(found).all()
