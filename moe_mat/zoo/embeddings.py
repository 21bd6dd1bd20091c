"""Embeddings of many crystals by many experts: each encoder sees each crystal once, ever."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from pymatgen.core import Structure

from moe_mat.crystals.errors import CrystalError, LeftOut, UnsupportedCrystalError
from moe_mat.crystals.structures import Crystal, structure_key
from moe_mat.encoders import Encoder, prepare_checked
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.experts import EncoderExpert, ExpertLoader
from moe_mat.zoo.trunks import EmbeddingOrder

logger = logging.getLogger(__name__)

# A batch ends at either limit: many small cells, or a few large ones.
MAX_CRYSTALS = 128
MAX_ATOMS = 1024
# Bytes: a batch that would need more is computed in parts.
BATCH_MEMORY = 512 * 2**20
# Crystals that are read and embedded at once when files of any length are streamed.
STREAM_CHUNK = 256


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
        for row, reason in self.refused.items():
            raise CrystalError(LeftOut(f"crystal {row} ({structures[row].reduced_formula})", None, None, reason))


def embed(
    cards: Sequence[ExpertCard],
    structures: Sequence[Structure],
    *,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
) -> Embedded:
    """Embed crystals with several experts.

    Experts that share an encoder are read off one pass, and encoders that share a graph share its construction. Only
    what the cache does not hold is computed, and it is stored batch by batch, so that a killed run loses little.

    Args:
        cards: The experts.
        structures: Checked crystals.
        cache: Where embeddings are kept.
        advance: Called with the number of crystals that have been dealt with since the last call.
    """
    return _embed(EmbeddingOrder.of(cards), structures, cache=cache, advance=advance, loader=ExpertLoader())


def _embed(
    order: EmbeddingOrder,
    structures: Sequence[Structure],
    *,
    cache: EmbeddingCache | None,
    advance: Callable[[int], None] | None,
    loader: ExpertLoader,
) -> Embedded:
    # A network reads other experts' embeddings, so only the experts at its root are computed from crystals, and kept.
    roots = order.roots
    keys = [structure_key(structure) for structure in structures]
    known = {space: cache.get_many(space, keys) if cache else {} for space in roots}
    missing = {key: s for key, s in zip(keys, structures, strict=True) if any(key not in known[r] for r in roots)}
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
        lacking = {space for space in roots if any(key not in known[space] for key in missing)}
        experts = {space: loader.encoder_expert(card) for space, card in roots.items() if space in lacking}
        for batch in _batches(missing):
            for space, computed in _embed_batch(batch, experts, known, reasons).items():
                known[space].update(computed)
                if cache is not None:
                    card = roots[space]
                    cache.put_many(space, computed, description={"expert": card.tag, "path": card.reference})
            if advance is not None:
                advance(sum(copies[key] for key in batch))

    n = len(structures)
    stacked: dict[str, np.ndarray] = {}
    for space, card in roots.items():
        stacked[space] = np.full((n, card.dim), np.nan, dtype=np.float32)
        for row, key in enumerate(keys):
            if key in known[space]:
                stacked[space][row] = known[space][key]

    of_experts = order.run_networks(stacked, loader.networks(order))
    values = {tag: of_experts[digest] for tag, digest in order.digests.items()}
    return Embedded(values, {row: reasons[key] for row, key in enumerate(keys) if key in reasons})


def embed_stream(
    cards: Sequence[ExpertCard], crystals: Iterable[Crystal], *, refuse: Callable[[LeftOut], None]
) -> Iterator[tuple[list[Crystal], dict[str, np.ndarray]]]:
    """Embed any number of crystals in bounded memory.

    Args:
        cards: The experts.
        crystals: Checked crystals.
        refuse: Called for each crystal that some expert cannot represent; it is left out, unless this raises.

    Yields:
        Some crystals in their order, and their embeddings by expert tag.
    """
    remaining = iter(crystals)
    order, loader = EmbeddingOrder.of(cards), ExpertLoader()
    with EmbeddingCache() as cache:
        while chunk := list(islice(remaining, STREAM_CHUNK)):
            structures = [crystal.structure for crystal in chunk]
            embedded = _embed(order, structures, cache=cache, advance=None, loader=loader)
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
    structures: dict[bytes, Structure],
    experts: dict[str, EncoderExpert],
    known: dict[str, dict[bytes, np.ndarray]],
    reasons: dict[bytes, str],
) -> dict[str, dict[bytes, np.ndarray]]:
    """Embed one batch with every expert that lacks some of it; adds the refused crystals to ``reasons``."""
    by_encoder: dict[str, list[str]] = {}
    for space, expert in experts.items():
        if any(key not in known[space] for key in structures):
            by_encoder.setdefault(expert.card.encoder_digest, []).append(space)

    prepared: dict[Hashable, list[_Part]] = {}
    computed: dict[str, dict[bytes, np.ndarray]] = {}
    for spaces in by_encoder.values():
        encoder = experts[spaces[0]].encoder.only({layer for s in spaces for layer in experts[s].card.readout.layers})
        if encoder.prepare_key not in prepared:
            samples = {}
            for key, structure in structures.items():
                try:
                    samples[key] = prepare_checked(encoder, structure)
                except UnsupportedCrystalError as error:
                    reasons.setdefault(key, f"expert {experts[spaces[0]].tag}: {error}")
            prepared[encoder.prepare_key] = [
                _Part(keys, encoder.collate([samples[key] for key in keys])) for keys in _parts(encoder, samples)
            ]
        for part in prepared[encoder.prepare_key]:
            with torch.inference_mode():
                features = encoder(part.batch)
                for space in spaces:
                    values = experts[space](features).float().numpy()
                    of_space = computed.setdefault(space, {})
                    of_space |= {
                        key: row for key, row in zip(part.keys, values, strict=True) if key not in known[space]
                    }
    return computed


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
