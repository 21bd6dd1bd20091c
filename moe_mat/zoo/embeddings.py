"""Embeddings of many crystals by many experts: each encoder sees each crystal once, ever."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import Crystal, structure_key
from moe_mat.encoders import Device
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.compositions import check_formulas
from moe_mat.zoo.crystal_passes import Passed
from moe_mat.zoo.embedded import Embedded
from moe_mat.zoo.encoder_pass import EncoderPass
from moe_mat.zoo.expert_weights import check_weights
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.pass_workers import PassOver, passes
from moe_mat.zoo.pooled_layers import embeddings_of
from moe_mat.zoo.trunks import EmbeddingOrder
from moe_mat.zoo.write_buffer import WriteBuffer

logger = logging.getLogger(__name__)

# A portion ends at either limit: many small cells, or a few large ones. What of it goes through an encoder at once is a
# matter of bytes, see `moe_mat.zoo.crystal_passes`.
MOST_CRYSTALS = 32
MOST_ATOMS = 1024
# Crystals that are read and embedded at once when files of any length are streamed.
STREAM_CHUNK = 256


def embed(
    cards: Sequence[ExpertCard],
    structures: Sequence[Structure],
    *,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
    workers: int = 1,
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
        workers: Processes that compute. More than one take some seconds to start, and each its own copy of the experts;
            with as many threads in a process, the numbers are the same to the bit. Beside a GPU they prepare crystals
            and compute what stays on the CPU, and this process has the GPU.
        device: Where encoders compute that know a GPU, see `moe_mat.encoders.choose_device`; crystals are prepared on
            the CPU.

    Raises:
        ValueError: When there is no such device.
        OSError: When one of several processes has ended without an answer.
    """
    (embedded,) = embed_parts(cards, [structures], cache=cache, advance=advance, workers=workers, device=device)
    return embedded


def embed_parts(
    cards: Sequence[ExpertCard],
    parts: Iterable[Sequence[Structure]],
    *,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
    workers: int = 1,
    device: Device = "auto",
) -> Iterator[Embedded]:
    """Embed some crystals after others by the same processes, see `embed`.

    Args:
        cards: The experts.
        parts: Some checked crystals each.
        cache: Where embeddings are kept.
        advance: Called with the number of crystals that have been dealt with since the last call.
        workers: Processes that compute.
        device: Where encoders compute.

    Yields:
        The embeddings of each part.
    """
    loader = ExpertLoader(device)
    with (
        WriteBuffer(cache) as buffer,
        _embedding(cards, buffer, loader, workers=workers, advance=advance) as embedding,
    ):
        for structures in parts:
            yield embedding.begin(structures).finish()


def embed_stream(
    cards: Sequence[ExpertCard],
    crystals: Iterable[Crystal],
    *,
    refuse: Callable[[LeftOut], None],
    device: Device = "auto",
    loader: ExpertLoader | None = None,
    workers: int = 1,
    pass_over: PassOver | None = None,
) -> Iterator[tuple[list[Crystal], dict[str, np.ndarray]]]:
    """Embed any number of crystals in bounded memory.

    Args:
        cards: The experts.
        crystals: Checked crystals.
        refuse: Called for each crystal that some expert cannot represent; it is left out, unless this raises.
        device: As in `embed`.
        loader: Keeps what it has loaded for other streams; on the same device.
        workers: Processes that compute, see `embed`. With several, crystals are read while others are embedded.
        pass_over: These processes, where they are kept for other streams, see `stream_processes`.

    Yields:
        Some crystals in their order, and their embeddings by expert tag.

    Raises:
        OSError: When one of several processes has ended without an answer.
    """
    remaining = iter(crystals)
    with (
        EmbeddingCache() as cache,
        WriteBuffer(cache) as buffer,
        _embedding(cards, buffer, loader or ExpertLoader(device), workers=workers, pass_over=pass_over) as embedding,
    ):
        begun: deque[tuple[list[Crystal], _Begun]] = deque()
        while (chunk := list(islice(remaining, STREAM_CHUNK))) or begun:
            if chunk:
                begun.append((chunk, embedding.begin([crystal.structure for crystal in chunk])))
                if len(begun) < min(workers, 2):  # workers are at this one while the next one is read
                    continue
            chunk, one = begun.popleft()
            embedded = one.finish()
            for row, reason in embedded.refused.items():
                refuse(LeftOut(chunk[row].source, chunk[row].material_id, None, reason))
            kept = [row for row in range(len(chunk)) if row not in embedded.refused]
            if kept:
                yield [chunk[row] for row in kept], {tag: v[kept] for tag, v in embedded.values.items()}


def stream_processes(
    cards: Sequence[ExpertCard], loader: ExpertLoader, *, workers: int
) -> AbstractContextManager[PassOver]:
    """Processes for any number of streams by the same experts, which end with the block, see `embed_stream`."""
    return passes(EmbeddingOrder.of(cards).passes, loader, workers=workers)


class _Embedding:
    """Embedding by some experts.

    Args:
        cards: The experts.
        order: The same, and what they stand on.
        loader: Where they come from.
        buffer: Where embeddings are kept.
        pass_over: Where they are computed.
        advance: Called with the number of crystals that have been dealt with since the last call.
    """

    def __init__(
        self,
        cards: Sequence[ExpertCard],
        order: EmbeddingOrder,
        loader: ExpertLoader,
        buffer: WriteBuffer,
        pass_over: PassOver,
        advance: Callable[[int], None] | None,
    ) -> None:
        self.cards, self.order, self.loader, self.buffer = cards, order, loader, buffer
        self.pass_over, self.advance = pass_over, advance
        self._unfinished: list[_Begun] = []

    def begin(self, structures: Sequence[Structure]) -> _Begun:
        """Begin to embed crystals, after those with which they share one that is not yet known."""
        check_formulas(self.cards, structures)
        keys = [structure_key(structure) for structure in structures]
        self._unfinished = [one for one in self._unfinished if one.embedded is None]
        for one in self._unfinished:
            if not one.missing.isdisjoint(keys):
                one.finish()
        begun = _Begun(self, keys, structures)
        self._unfinished.append(begun)
        return begun


@contextmanager
def _embedding(
    cards: Sequence[ExpertCard],
    buffer: WriteBuffer,
    loader: ExpertLoader,
    *,
    workers: int,
    advance: Callable[[int], None] | None = None,
    pass_over: PassOver | None = None,
) -> Iterator[_Embedding]:
    order = EmbeddingOrder.of(cards)
    processes = nullcontext(pass_over) if pass_over else passes(order.passes, loader, workers=workers)
    with processes as passing:
        yield _Embedding(cards, order, loader, buffer, passing, advance)


class _Begun:
    """Crystals whose embedding has begun.

    Attributes:
        missing: Keys of those that some encoder has to see.
        embedded: The result, after `finish`.
    """

    def __init__(self, embedding: _Embedding, keys: list[bytes], structures: Sequence[Structure]) -> None:
        order, buffer = embedding.order, embedding.buffer
        # A network reads other experts' embeddings, so only those at its root are computed from crystals, and kept.
        check_weights([*order.roots.values(), *(step.card for step in order.networks.values())])
        self._embedding, self._keys = embedding, keys
        known = {space: buffer.get_many(space, keys) for space in order.passes}
        self._passes = [EncoderPass(space, cards, known[space]) for space, cards in order.passes.items()]
        lacking = {
            key: s for key, s in zip(keys, structures, strict=True) if any(one.lacks(key) for one in self._passes)
        }
        self.missing = lacking.keys()
        self.embedded: Embedded | None = None
        logger.log(
            logging.INFO if embedding.advance is not None else logging.DEBUG,
            "%d crystals, %d experts: %d crystals in the cache, %d to embed",
            *(len(keys), len(order.digests), len(set(keys)) - len(lacking), len(lacking)),
        )
        if embedding.advance is not None:
            embedding.advance(sum(key not in lacking for key in keys))
        self._portions: deque[tuple[list[bytes], Callable[[], Passed]]] = deque()
        for portion in _portions(lacking):
            spaces = [one.space for one in self._passes if any(one.lacks(key) for key in portion)]
            self._portions.append((list(portion), embedding.pass_over(portion, spaces)))

    def finish(self) -> Embedded:
        """Wait for what has to be computed, and keep it."""
        if self.embedded is None:
            self.embedded = self._finish()
        return self.embedded

    def _finish(self) -> Embedded:
        order, keys = self._embedding.order, self._keys
        copies, reasons = Counter(keys), dict[bytes, str]()
        while self._portions:
            portion, wait = self._portions.popleft()
            passed = wait()
            for one in self._passes:
                if one.space in passed.rows:
                    self._embedding.buffer.put_many(one.space, one.add(passed.rows[one.space]), cards=one.cards)
            reasons |= passed.refused
            if self._embedding.advance is not None:
                self._embedding.advance(sum(copies[key] for key in portion))

        of_roots: dict[str, np.ndarray] = {}
        for one in self._passes:
            embeddings = embeddings_of([one.known.get(key) for key in keys], one.cards)
            of_roots |= {card.digest: values for card, values in zip(one.cards, embeddings, strict=True)}
        of_experts = order.run_networks(of_roots, self._embedding.loader.networks(order))
        values = {tag: of_experts[digest] for tag, digest in order.digests.items()}
        return Embedded(values, {row: reasons[key] for row, key in enumerate(keys) if key in reasons})


def _portions(structures: dict[bytes, Structure]) -> Iterator[dict[bytes, Structure]]:
    """Crystals that are prepared one after the other before they go through encoders; workers take a portion each."""
    portion: dict[bytes, Structure] = {}
    n_atoms = 0
    for key, structure in structures.items():
        if portion and (len(portion) == MOST_CRYSTALS or n_atoms + len(structure) > MOST_ATOMS):
            yield portion
            portion, n_atoms = {}, 0
        portion[key] = structure
        n_atoms += len(structure)
    if portion:
        yield portion
