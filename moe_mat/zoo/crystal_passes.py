"""Crystals pass through encoders, which are loaded when they are first needed: in this process, or in one beside it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pymatgen.core import Structure

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.once import one_crystal
from moe_mat.encoders import Encoder, beside, prepare_checked
from moe_mat.zoo.cards import EncoderCard
from moe_mat.zoo.encoder_pass import pool_layers
from moe_mat.zoo.experts import EncoderExpert, ExpertLoader
from moe_mat.zoo.pooled_layers import PooledLayers

# Bytes of crystals that go through an encoder at once: few enough for the cache of a CPU.
BATCH_MEMORY = 32 * 2**20
# The same on a GPU, which wants much to do at once.
GPU_BATCH_MEMORY = 512 * 2**20


class Passed(NamedTuple):
    """What became of some crystals.

    Attributes:
        rows: Encoder's digest to structure key to pooled layers.
        refused: Structure key to the reason why some expert cannot represent the crystal.
    """

    rows: dict[str, dict[bytes, PooledLayers]]
    refused: dict[bytes, str]


class CrystalPasses:
    """The encoders of some experts.

    Args:
        cards: Encoder's digest to its experts.
        loader: Where they come from.
    """

    def __init__(self, cards: Mapping[str, Sequence[EncoderCard]], loader: ExpertLoader) -> None:
        self.cards = cards
        self._loader = loader
        self._encoders: dict[str, tuple[Encoder, list[EncoderExpert]]] = {}

    def load(self, spaces: Sequence[str]) -> None:
        """Load encoders.

        Raises:
            WeightsError: When weights are damaged, or do not fit.
            CardError: When a card does not fit its encoder.
        """
        for space in spaces:
            if space not in self._encoders:
                cards = self.cards[space]
                experts = [self._loader.encoder_expert(card) for card in cards]
                layers = {layer for card in cards for layer in card.readout.layers}
                self._encoders[space] = (experts[0].encoder.only(layers), experts)

    def __call__(self, structures: Mapping[bytes, Structure], spaces: Sequence[str]) -> Passed:
        """Pass crystals through encoders. Those that share a graph share its construction.

        Args:
            structures: Crystals by key, few enough that their graphs fit into memory.
            spaces: Digests of the encoders.
        """
        self.load(spaces)
        of_key: dict[Hashable, str] = {}
        for space in spaces:
            of_key.setdefault(self._encoders[space][0].prepare_key, space)
        samples, refused = self._prepare(structures, of_key)
        batches: dict[Hashable, list[_Part]] = {}
        rows: dict[str, dict[bytes, PooledLayers]] = {}
        for space in spaces:
            encoder, experts = self._encoders[space]
            key = encoder.prepare_key
            if key not in batches:
                parts = _parts(encoder, samples[key])
                batches[key] = [
                    _Part(part, beside(encoder, encoder.collate([samples[key][one] for one in part]))) for part in parts
                ]
            rows[space] = {}
            for part in batches[key]:
                with torch.inference_mode():
                    rows[space] |= zip(part.keys, pool_layers(experts, encoder(part.batch)), strict=True)
        return Passed(rows, refused)

    def _prepare(
        self, structures: Mapping[bytes, Structure], of_key: Mapping[Hashable, str]
    ) -> tuple[dict[Hashable, dict[bytes, Any]], dict[bytes, str]]:
        """Samples by `Encoder.prepare_key`, crystal after crystal, so that encoders share what they find out of one."""
        samples: dict[Hashable, dict[bytes, Any]] = {prepare_key: {} for prepare_key in of_key}
        refused: dict[bytes, str] = {}
        for key, structure in structures.items():
            with one_crystal():
                for prepare_key, space in of_key.items():
                    try:
                        samples[prepare_key][key] = prepare_checked(self._encoders[space][0], structure)
                    except UnsupportedCrystalError as error:
                        refused.setdefault(key, f"expert {self.cards[space][0].tag}: {error}")
        return samples, refused


class _Part(NamedTuple):
    """What of some crystals goes through an encoder at once."""

    keys: list[bytes]
    batch: Any


def _parts(encoder: Encoder, samples: dict[bytes, Any]) -> Iterator[list[bytes]]:
    """The keys of prepared crystals, as many at once as are computed in the cache, and at least one."""
    part: list[bytes] = []
    needed, most = 0, BATCH_MEMORY if encoder.device.type == "cpu" else GPU_BATCH_MEMORY
    for key, sample in samples.items():
        memory = encoder.memory(sample)
        if part and needed + memory > most:
            yield part
            part, needed = [], 0
        part.append(key)
        needed += memory
    if part:
        yield part
