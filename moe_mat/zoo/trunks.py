"""The walk over trunks: from any experts down to those that see crystals, and back up through the networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from moe_mat.zoo.cards import EncoderCard, ExpertCard, NetworkCard, find_trunk


@dataclass(frozen=True, slots=True)
class NetworkStep:
    """A network, and the digests of the experts whose embeddings it reads, side by side."""

    card: NetworkCard
    trunk: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingOrder:
    """The order in which embeddings can be computed; what several experts stand on is there once.

    Attributes:
        digests: Tag to digest of the experts that were asked for, in their order.
        roots: Digest to card of the experts that see crystals, among these and those that they stand on.
        networks: Digest to network, each after its trunk.
    """

    digests: dict[str, str]
    roots: dict[str, EncoderCard]
    networks: dict[str, NetworkStep]

    @property
    def passes(self) -> dict[str, list[EncoderCard]]:
        """Digest of an encoder to the experts at the root that are read off its one pass over the crystals."""
        found: dict[str, list[EncoderCard]] = {}
        for card in self.roots.values():
            found.setdefault(card.encoder_digest, []).append(card)
        return found

    @classmethod
    def of(cls, cards: Iterable[ExpertCard]) -> EmbeddingOrder:
        """Walk down from some experts.

        Raises:
            CardError: When a trunk is not there, or is not the one that a network was trained on.
        """
        roots: dict[str, EncoderCard] = {}
        networks: dict[str, NetworkStep] = {}

        def visit(card: ExpertCard) -> str:
            digest = card.digest
            if isinstance(card, EncoderCard):
                roots[digest] = card
            elif isinstance(card, NetworkCard) and digest not in networks:
                networks[digest] = NetworkStep(card, tuple([visit(below) for below in find_trunk(card)]))
            return digest

        return cls({card.tag: visit(card) for card in cards}, roots, networks)

    def run_networks(
        self, of_roots: Mapping[str, np.ndarray], networks: Mapping[str, nn.Module]
    ) -> dict[str, np.ndarray]:
        """Embeddings by the networks, from those by the roots.

        Args:
            of_roots: Digest to ``[n, dim]``, float32.
            networks: Digest to network.

        Returns:
            Digest to ``[n, dim]``, float32: those by the networks beside those by the roots.
        """
        found = dict(of_roots)
        for digest, step in self.networks.items():
            side_by_side = np.concatenate([found[below] for below in step.trunk], axis=1)
            with torch.inference_mode():
                found[digest] = networks[digest](torch.from_numpy(side_by_side)).numpy()
        return found
