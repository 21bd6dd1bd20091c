"""Embeddings of many crystals by many experts: each encoder sees each crystal once, ever."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.errors import CrystalError, LeftOut, UnsupportedCrystalError
from moe_mat.crystals.structures import Crystal, structure_key
from moe_mat.encoders import Device, Encoder, beside, prepare_checked
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.encoder_pass import EncoderPass
from moe_mat.zoo.expert_weights import check_weights
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.pooled_layers import embeddings_of
from moe_mat.zoo.trunks import EmbeddingOrder
from moe_mat.zoo.write_buffer import WriteBuffer

logger = logging.getLogger(__name__)

# A batch ends at either limit: many small cells, or a few large ones.
MAX_CRYSTALS = 128
MAX_ATOMS = 1024
# Bytes: a batch that would need more is computed in parts.
BATCH_MEMORY = 512 * 2**20
# Crystals that are read and embedded at once when files of any length are streamed.
STREAM_CHUNK = 256
# Of the crystals that were refused beside the first.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of a list of crystals.

    Attributes:
        values: Expert tag to ``[n_crystals, dim]``, float32. The rows of refused crystals are NaN.
        refused: Row to the reason why some expert cannot represent this crystal.
    """

    values: dict[str, np.ndarray]
    refused: dict[int, str]

    def require_all(self, structures: Sequence[Structure]) -> None:
        """Make sure that no crystal was refused.

        Args:
            structures: The crystals.

        Raises:
            CrystalError: When one was; names its position, its formula and the reason.
        """
        for row in self.refused:
            name = f"crystal {row} ({structures[row].reduced_formula})"
            raise CrystalError(LeftOut(name, None, None, self.first_reason([str(other) for other in self.refused])))

    def first_reason(self, names: Sequence[str]) -> str:
        """Why the first refused crystal was, and which others were refused too.

        Args:
            names: Of all refused crystals, in their order.
        """
        reason, others = next(iter(self.refused.values())), names[1:]
        if not others:
            return reason
        more = ", ..." if len(others) > NAMED else ""
        return f"{reason}; {len(others)} more crystals cannot be embedded: {', '.join(others[:NAMED])}{more}"


def embed(
    cards: Sequence[ExpertCard],
    structures: Sequence[Structure],
    *,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
    device: Device = "auto",
) -> Embedded:
    """Embed crystals with several experts.

    Experts that share an encoder are read off one pass, and encoders that share a graph share its construction. Only
    what the cache does not hold is computed, and it is stored every half minute, so that a killed run loses little.

    Args:
        cards: The experts.
        structures: Checked crystals.
        cache: Where embeddings are kept.
        advance: Called with the number of crystals that have been dealt with since the last call.
        device: Where encoders compute that know a GPU, see `moe_mat.encoders.choose_device`; crystals are prepared on
            the CPU.

    Raises:
        ValueError: When there is no such device.
    """
    with WriteBuffer(cache) as buffer:
        loader = ExpertLoader(device)
        return _embed(EmbeddingOrder.of(cards), structures, buffer=buffer, advance=advance, loader=loader)


def _embed(
    order: EmbeddingOrder,
    structures: Sequence[Structure],
    *,
    buffer: WriteBuffer,
    advance: Callable[[int], None] | None,
    loader: ExpertLoader,
) -> Embedded:
    # A network reads other experts' embeddings, so only the experts at its root are computed from crystals, and kept.
    check_weights([*order.roots.values(), *(step.card for step in order.networks.values())])
    keys = [structure_key(structure) for structure in structures]
    passes = [EncoderPass(space, cards, buffer.get_many(space, keys)) for space, cards in order.passes.items()]
    missing = {key: s for key, s in zip(keys, structures, strict=True) if any(one.lacks(key) for one in passes)}
    logger.log(
        logging.INFO if advance is not None else logging.DEBUG,
        "%d crystals, %d experts: %d crystals in the cache, %d to embed",
        *(len(structures), len(order.digests), len(set(keys)) - len(missing), len(missing)),
    )
    if advance is not None:
        advance(sum(key not in missing for key in keys))
    copies = Counter(keys)

    reasons: dict[bytes, str] = {}
    if missing:
        for one in passes:
            if any(one.lacks(key) for key in missing):
                one.load(loader)
        for batch in _batches(missing):
            _embed_batch(batch, passes, buffer, reasons)
            if advance is not None:
                advance(sum(copies[key] for key in batch))

    of_roots: dict[str, np.ndarray] = {}
    for one in passes:
        embeddings = embeddings_of([one.known.get(key) for key in keys], one.cards)
        of_roots |= {card.digest: values for card, values in zip(one.cards, embeddings, strict=True)}
    of_experts = order.run_networks(of_roots, loader.networks(order))
    values = {tag: of_experts[digest] for tag, digest in order.digests.items()}
    return Embedded(values, {row: reasons[key] for row, key in enumerate(keys) if key in reasons})


def embed_stream(
    cards: Sequence[ExpertCard],
    crystals: Iterable[Crystal],
    *,
    refuse: Callable[[LeftOut], None],
    device: Device = "auto",
) -> Iterator[tuple[list[Crystal], dict[str, np.ndarray]]]:
    """Embed any number of crystals in bounded memory.

    Args:
        cards: The experts.
        crystals: Checked crystals.
        refuse: Called for each crystal that some expert cannot represent; it is left out, unless this raises.
        device: As in `embed`.

    Yields:
        Some crystals in their order, and their embeddings by expert tag.
    """
    remaining = iter(crystals)
    order, loader = EmbeddingOrder.of(cards), ExpertLoader(device)
    with EmbeddingCache() as cache, WriteBuffer(cache) as buffer:
        while chunk := list(islice(remaining, STREAM_CHUNK)):
            structures = [crystal.structure for crystal in chunk]
            embedded = _embed(order, structures, buffer=buffer, advance=None, loader=loader)
            for row, reason in embedded.refused.items():
                refuse(LeftOut(chunk[row].source, chunk[row].material_id, None, reason))
            kept = [row for row in range(len(chunk)) if row not in embedded.refused]
            if kept:
                yield [chunk[row] for row in kept], {tag: v[kept] for tag, v in embedded.values.items()}


def _batches(structures: dict[bytes, Structure]) -> Iterator[dict[bytes, Structure]]:
    batch: dict[bytes, Structure] = {}
    n_atoms = 0
    for key, structure in structures.items():
        if batch and (len(batch) == MAX_CRYSTALS or n_atoms + len(structure) > MAX_ATOMS):
            yield batch
            batch, n_atoms = {}, 0
        batch[key] = structure
        n_atoms += len(structure)
    yield batch


def _embed_batch(
    structures: dict[bytes, Structure], passes: Sequence[EncoderPass], buffer: WriteBuffer, reasons: dict[bytes, str]
) -> None:
    """Pass one batch through every encoder that lacks some of it; adds the refused crystals to ``reasons``."""
    prepared: dict[Hashable, list[_Part]] = {}
    for one in passes:
        if not any(one.lacks(key) for key in structures):
            continue
        encoder = one.encoder
        if encoder.prepare_key not in prepared:
            samples = {}
            for key, structure in structures.items():
                try:
                    samples[key] = prepare_checked(encoder, structure)
                except UnsupportedCrystalError as error:
                    reasons.setdefault(key, f"expert {one.cards[0].tag}: {error}")
            prepared[encoder.prepare_key] = [
                _Part(keys, beside(encoder, encoder.collate([samples[key] for key in keys])))
                for keys in _parts(encoder, samples)
            ]
        for part in prepared[encoder.prepare_key]:
            buffer.put_many(one.space, one.run(part.keys, part.batch), cards=one.cards)


class _Part(NamedTuple):
    """What of a batch goes through an encoder at once."""

    keys: list[bytes]
    batch: Any


def _parts(encoder: Encoder, samples: dict[bytes, Any]) -> Iterator[list[bytes]]:
    """The keys of prepared crystals, all at once or, where they need too much memory together, in parts."""
    part: list[bytes] = []
    needed = 0
    for key, sample in samples.items():
        memory = encoder.memory(sample)
        if part and needed + memory > BATCH_MEMORY:
            yield part
            part, needed = [], 0
        part.append(key)
        needed += memory
    if part:
        yield part
