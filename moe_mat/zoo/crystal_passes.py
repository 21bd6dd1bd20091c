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
from moe_mat.zoo.experts import EncoderExpert, ExpertLoader, one_blas_thread
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


class Batch(NamedTuple):
    """What of some crystals goes through an encoder at once.

    Attributes:
        keys: Of the crystals.
        content: As the encoder collates it, on the CPU.
    """

    keys: list[bytes]
    content: Any


Batches = dict[Hashable, list[Batch]]
"""By `Encoder.prepare_key`."""


class CrystalPasses:
    """The encoders of some experts.

    Args:
        cards: Encoder's digest to its experts.
        loader: Where they come from.
        gpu: Whether the encoders that can compute on a GPU do so, in this process or in the one for which this one
            prepares crystals.
    """

    def __init__(self, cards: Mapping[str, Sequence[EncoderCard]], loader: ExpertLoader, *, gpu: bool) -> None:
        self.cards = cards
        self._loader, self._gpu = loader, gpu
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
        return self.finish(*self.begin(structures, spaces), spaces)

    @one_blas_thread
    def begin(self, structures: Mapping[bytes, Structure], spaces: Sequence[str]) -> tuple[Passed, Batches]:
        """Do what a GPU is not needed for.

        Args:
            structures: Crystals by key.
            spaces: Digests of the encoders.

        Returns:
            What is done, and batches for those encoders that compute on the GPU.
        """
        samples, refused = self._prepare(structures, spaces)
        batches: Batches = {}
        waiting = [space for space in spaces if self._gpu and self._encoders[space][0].moves]
        for space in waiting:
            self._batch(space, samples, batches)
        rows = self._compute(samples, dict(batches), [space for space in spaces if space not in waiting])
        return Passed(rows, refused), batches

    @one_blas_thread
    def finish(self, passed: Passed, batches: Batches, spaces: Sequence[str]) -> Passed:
        """Do the rest of what `begin` has begun, here or in another process."""
        remaining = [space for space in spaces if space not in passed.rows]
        self.load(remaining)
        return Passed(passed.rows | self._compute({}, batches, remaining), passed.refused)

    def _compute(
        self, samples: Mapping[Hashable, dict[bytes, Any]], batches: Batches, spaces: Sequence[str]
    ) -> dict[str, dict[bytes, PooledLayers]]:
        """Encoder's digest to structure key to pooled layers; batches that are not there are made."""
        rows: dict[str, dict[bytes, PooledLayers]] = {}
        for space in spaces:
            encoder, experts = self._encoders[space]
            rows[space] = {}
            for batch in self._batch(space, samples, batches):
                with torch.inference_mode():
                    layers = pool_layers(experts, encoder(beside(encoder, batch.content)))
                rows[space] |= zip(batch.keys, layers, strict=True)
        return rows

    def _batch(self, space: str, samples: Mapping[Hashable, dict[bytes, Any]], batches: Batches) -> list[Batch]:
        """The batches of an encoder, which it shares with those of the same `Encoder.prepare_key`."""
        encoder = self._encoders[space][0]
        if (key := encoder.prepare_key) not in batches:
            most = GPU_BATCH_MEMORY if self._gpu and encoder.moves else BATCH_MEMORY
            parts = _parts(encoder, samples[key], most)
            batches[key] = [Batch(part, encoder.collate([samples[key][one] for one in part])) for part in parts]
        return batches[key]

    def _prepare(
        self, structures: Mapping[bytes, Structure], spaces: Sequence[str]
    ) -> tuple[dict[Hashable, dict[bytes, Any]], dict[bytes, str]]:
        """Samples by `Encoder.prepare_key`, crystal after crystal, so that encoders share what they find out of one."""
        self.load(spaces)
        of_key: dict[Hashable, str] = {}
        for space in spaces:
            of_key.setdefault(self._encoders[space][0].prepare_key, space)
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


def _parts(encoder: Encoder, samples: dict[bytes, Any], most: int) -> Iterator[list[bytes]]:
    """The keys of prepared crystals, as many at once as take so many bytes, and at least one."""
    part: list[bytes] = []
    needed = 0
    for key, sample in samples.items():
        memory = encoder.memory(sample)
        if part and needed + memory > most:
            yield part
            part, needed = [], 0
        part.append(key)
        needed += memory
    if part:
        yield part
