"""Experts: from a card to frozen weights that embed crystals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.given import Crystals, given_crystals
from moe_mat.crystals.structures import Crystal
from moe_mat.encoders import Device, Encoder, Features, beside, choose_device, get_encoder, placed, prepare_checked
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.cards import EncoderCard, ExpertCard, NetworkCard
from moe_mat.zoo.expert_weights import load_weights
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.property_network import PropertyNetwork, load_network
from moe_mat.zoo.readout import blocks_of, read_out
from moe_mat.zoo.trunks import EmbeddingOrder

# Matrices of one crystal are too small for the threads of numpy's BLAS, which wait for each other instead of working.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


class Expert(nn.Module, ABC):
    """Frozen weights with a card, from crystals to embeddings.

    Frozen means frozen: no parameter takes a gradient, and ``train()`` leaves the expert in eval mode, so that the
    statistics of its normalisation layers never move.

    Args:
        card: The expert's card.
    """

    def __init__(self, card: ExpertCard) -> None:
        super().__init__()
        self.card = card

    def _freeze(self, width: int) -> None:
        if width != self.card.dim:
            raise CardError(f"expert {self.tag}: its card says dim {self.card.dim}, but its embedding has {width}")
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Expert:
        """Stay in eval mode, whatever is asked."""
        return super().train(False)

    @property
    def tag(self) -> str:
        """The expert's name."""
        return self.card.tag

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.card.dim

    @abstractmethod
    def embed(self, structures: Crystals, *, batch_size: int = 64, device: Device = "auto") -> np.ndarray:
        """Embed crystals, without a cache.

        Args:
            structures: pymatgen structures or ASE atoms, one or several, or the path of a file or folder of them, see
                `moe_mat.crystals.given.given_crystals`.
            batch_size: Crystals that go through the encoder at once; does not change the result.
            device: ``auto``, ``cpu`` or ``cuda``, where the encoder computes and then stays; one that knows no GPU
                computes on the CPU, and ``auto`` is a GPU where there is one.

        Returns:
            Embeddings ``[n_structures, dim]``, float32.

        Raises:
            CrystalError: When one of them is no usable crystal; names its number and the reason.
            UnsupportedCrystalError: When the encoder cannot represent one of them; names its number and the reason.
            ValueError: When there is no such device.
        """


class EncoderExpert(Expert):
    """An expert that sees the crystal: an encoder, and a readout of its layers.

    Args:
        card: The card.
        encoder: With the weights of the card: see `load_encoder`, or that of another expert with the same
            ``encoder_digest``, which reads other layers of it.

    Raises:
        CardError: When the card does not fit the encoder.
    """

    card: EncoderCard

    def __init__(self, card: EncoderCard, encoder: Encoder) -> None:
        super().__init__(card)
        self.encoder = encoder
        try:
            self.blocks = blocks_of(encoder, card.readout)
        except ValueError as error:
            raise CardError(f"expert {card.tag}: {card.encoder} {error}") from error
        self._freeze(sum(block.width for block in self.blocks))

    def forward(self, features: Features) -> Tensor:
        """Read the encoder's features out into the embedding ``[n_crystals, dim]``."""
        return read_out(features, self.card.readout)

    @one_blas_thread
    def embed(  # noqa: D102
        self, structures: Crystals, *, batch_size: int = 64, device: Device = "auto"
    ) -> np.ndarray:
        crystals = given_crystals(structures)
        batches = [np.zeros((0, self.dim), dtype=np.float32)]
        encoder = placed(self.encoder, choose_device(device)).only(self.card.readout.layers)
        for start in range(0, len(crystals), batch_size):
            samples = [_prepare(encoder, crystal) for crystal in crystals[start : start + batch_size]]
            with torch.inference_mode():
                batches.append(self(encoder(beside(encoder, encoder.collate(samples)))).float().cpu().numpy())
        return np.concatenate(batches)


def _prepare(encoder: Encoder, crystal: Crystal) -> Any:
    try:
        return prepare_checked(encoder, crystal.structure)
    except UnsupportedCrystalError as error:
        raise UnsupportedCrystalError(f"{crystal.source}: {error}") from error


class NetworkExpert(Expert):
    """An expert that sees other experts' embeddings: a small network on its trunk.

    Args:
        card: The card.
        loader: Where the experts at the root, and the networks from there to this one, come from.

    Raises:
        WeightsError: When the weights do not have the checksum of the card or do not fit the trunk.
        CardError: When the trunk is not the one of the card.
    """

    def __init__(self, card: NetworkCard, loader: ExpertLoader) -> None:
        super().__init__(card)
        self.order = EmbeddingOrder.of([card])
        self.roots = nn.ModuleDict({digest: loader.encoder_expert(root) for digest, root in self.order.roots.items()})
        self.networks = nn.ModuleDict(loader.networks(self.order))
        self._freeze(card.network.sizes[-1])

    def embed(  # noqa: D102
        self, structures: Crystals, *, batch_size: int = 64, device: Device = "auto"
    ) -> np.ndarray:
        crystals = [crystal.structure for crystal in given_crystals(structures)]
        roots = {digest: cast(EncoderExpert, root) for digest, root in self.roots.items()}
        of_roots = {
            digest: root.embed(crystals, batch_size=batch_size, device=device) for digest, root in roots.items()
        }
        return self.order.run_networks(of_roots, dict(self.networks.items()))[self.order.digests[self.tag]]


class ExpertLoader:
    """Loads encoders, networks and experts, each once: many experts read one encoder, many towers stand on one body.

    Args:
        device: Where encoders compute that know a GPU; networks, which take no time, are on the CPU.
    """

    def __init__(self, device: Device = "cpu") -> None:
        self._device = choose_device(device)
        self._encoders: dict[str, Encoder] = {}
        self._experts: dict[str, EncoderExpert] = {}
        self._networks: dict[str, PropertyNetwork] = {}

    @property
    def on_gpu(self) -> bool:
        """Whether encoders that know a GPU are on one."""
        return self._device.type != "cpu"

    def expert(self, card: ExpertCard) -> Expert:
        """The frozen expert of a card.

        Raises:
            WeightsError: When the weights are damaged, or do not fit.
            CardError: When the card does not fit the encoder, or its trunk is not there.
        """
        if isinstance(card, EncoderCard):
            return self.encoder_expert(card)
        if isinstance(card, NetworkCard):
            return NetworkExpert(card, self)
        raise TypeError(f"expert {card.tag}: a {type(card).__name__} is of no kind that can be loaded")

    def encoder_expert(self, card: EncoderCard) -> EncoderExpert:
        """The frozen expert of an encoder's card."""
        if card.digest not in self._experts:
            if card.encoder_digest not in self._encoders:
                self._encoders[card.encoder_digest] = placed(load_encoder(card), self._device)
            self._experts[card.digest] = EncoderExpert(card, self._encoders[card.encoder_digest])
        return self._experts[card.digest]

    def networks(self, order: EmbeddingOrder) -> dict[str, PropertyNetwork]:
        """Digest to frozen network, of the networks that a walk has met."""
        for digest, step in order.networks.items():
            if digest not in self._networks:
                self._networks[digest] = load_network(step.card)
        return {digest: self._networks[digest] for digest in order.networks}


def load_encoder(card: EncoderCard) -> Encoder:
    """The encoder of a card with its weights.

    Raises:
        WeightsError: When the weights do not have the checksum of the card or do not fit the encoder.
        CardError: When there is no such encoder, or it takes no such settings.
    """
    try:
        encoder = get_encoder(card.encoder)(**card.settings)
    except (TypeError, ValueError) as error:
        raise CardError(f"expert {card.tag} ({card.path}): {error.args[0]}") from error
    load_weights(encoder, card)
    return encoder


def build_expert(card: ExpertCard) -> Expert:
    """The frozen expert of a card, which shares nothing with any other."""
    return ExpertLoader().expert(card)


def load_expert(name: str | Path) -> Expert:
    """Load one frozen expert.

    Args:
        name: A tag of the package, a folder with one card, or a card file.

    Raises:
        CardError: When the name finds no card or several.
        WeightsError: When the weights are damaged or do not fit.
    """
    cards = find_cards(str(name))
    if len(cards) != 1:
        raise CardError(f"{name!r} names {len(cards)} experts ({', '.join(c.tag for c in cards)}): name one of them")
    return build_expert(cards[0])
