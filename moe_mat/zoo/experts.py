"""The zoo: from a tag to a frozen expert with checked weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.structures import Crystal, crystals_from_objects
from moe_mat.encoders import Encoder, Features, get_encoder
from moe_mat.encoders.adapter import adapter_names
from moe_mat.encoders.base import pool
from moe_mat.zoo.cards import CardError, ExpertCard, file_sha256, find_backbone, find_cards, find_trunk
from moe_mat.zoo.weights import WeightsError, read_weights


class PropertyNetwork(nn.Module):
    """A small network on the embedding of a trunk; its last layer is the embedding of a property expert.

    Args:
        dim: Width of the trunk's embedding.
        sizes: Widths of the layers; the last one is the expert's width.
        output: ``silu``, or ``none`` for a last layer without activation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, sizes: Sequence[int], output: str = "silu") -> None:
        super().__init__()
        self.output = output
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([dim, *sizes]))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map trunk embeddings ``[n, dim]`` to property embeddings ``[n, sizes[-1]]``."""
        hidden = ((embedding - self.mean) / self.std).clamp(-10, 10)  # a crystal far from the source must not explode
        for i, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden)
            if i < len(self.layers) or self.output == "silu":
                hidden = F.silu(hidden)
        return hidden


def read_expert_weights(card: ExpertCard) -> dict[str, Tensor] | None:
    """The weights in an expert's own file, checked against its card; ``None`` where it has no file.

    Raises:
        WeightsError: When the file is missing, damaged, unsafe, or another one than the card says.
    """
    path = card.weights_file
    if path is None:
        return None
    weights = read_weights(path)
    assert card.weights is not None
    if file_sha256(path) != card.weights["sha256"]:
        raise WeightsError(f"{path} does not have the SHA-256 of its card {card.path}: fetch the file again")
    return weights


def _load_weights(module: nn.Module, card: ExpertCard) -> None:
    weights = read_expert_weights(card)
    if weights is None:
        return
    if card.is_adapter:
        weights = _with_backbone(weights, card, known=module.state_dict())
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{card.weights_file} does not fit expert {card.tag}: {error}") from error


def _with_backbone(adapters: dict[str, Tensor], card: ExpertCard, *, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adapters beside the weights of their backbone, which come from its file or with the encoder (``known``)."""
    if others := set(adapters) - adapter_names(adapters):
        raise WeightsError(f"{card.weights_file} holds more than adapters: {', '.join(sorted(others)[:3])}")
    frozen = read_expert_weights(find_backbone(card))
    if frozen is None:
        frozen = {name: known[name] for name in set(known) - adapter_names(known)}
    return frozen | adapters


def _build_encoder(card: ExpertCard) -> Encoder:
    assert card.encoder is not None
    try:
        encoder = get_encoder(card.encoder)(**card.settings)
    except (TypeError, KeyError) as error:
        raise CardError(f"expert {card.tag} ({card.path}): {error.args[0]}") from error
    if card.weights is not None and "package" in card.weights:
        package, wanted = card.weights["package"], card.weights["version"]
        if (installed := version(package)) != wanted:
            raise WeightsError(
                f"expert {card.tag} has the weights of {package} {wanted}, but {package} {installed} is installed: "
                f"pip install {package}=={wanted}"
            )
    _load_weights(encoder, card)
    return encoder


def load_network(card: ExpertCard) -> PropertyNetwork:
    """Load the frozen network of a property expert, without the trunk that feeds it."""
    network = PropertyNetwork(sum(trunk.dim for trunk in find_trunk(card)), **card.network)
    _load_weights(network, card)
    return network.requires_grad_(False).eval()


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
    def embed(self, structures: Sequence[Structure], *, batch_size: int = 64) -> np.ndarray:
        """Embed crystals, without a cache.

        Args:
            structures: pymatgen structures or ASE atoms.
            batch_size: Crystals that go through the encoder at once; does not change the result.

        Returns:
            Embeddings ``[n_structures, dim]``, float32.

        Raises:
            CrystalError: When one of them is no usable crystal; names its number and the reason.
            UnsupportedCrystalError: When the encoder cannot represent one of them; names its number and the reason.
        """


class EncoderExpert(Expert):
    """An expert that sees the crystal: an encoder, and a readout of its layers.

    Args:
        card: A card with ``encoder`` and ``readout``.
        encoder: That of another expert with the same ``encoder_digest``, which reads other layers of it: loaded
            once, it serves both.

    Raises:
        WeightsError: When the weights do not have the checksum of the card or do not fit the encoder.
        CardError: When the card does not fit the encoder.
    """

    def __init__(self, card: ExpertCard, *, encoder: Encoder | None = None) -> None:
        super().__init__(card)
        self.encoder = encoder if encoder is not None else _build_encoder(card)
        width = 0
        for layer in card.readout["layers"]:
            if layer in self.encoder.node_layers:
                width += self.encoder.node_layers[layer] * len(self._statistics)
            elif layer in self.encoder.crystal_layers:
                width += self.encoder.crystal_layers[layer]
            else:
                known = ", ".join([*self.encoder.node_layers, *self.encoder.crystal_layers])
                raise CardError(f"expert {card.tag}: {card.encoder} has no layer {layer!r}; it has {known}")
        self._freeze(width)

    @property
    def _statistics(self) -> list[str]:
        return self.card.readout.get("statistics", ["mean"])

    def forward(self, features: Features) -> Tensor:
        """Read the encoder's features out into the embedding ``[n_crystals, dim]``."""
        parts = [
            features.crystals[layer]
            if layer in features.crystals
            else pool(features.nodes[layer], features.crystal_of_node, features.n_crystals, statistics=self._statistics)
            for layer in self.card.readout["layers"]
        ]
        embedding = torch.cat(parts, dim=1)
        return F.softplus(embedding) if self.card.readout.get("activation") == "softplus" else embedding

    def embed(self, structures: Sequence[Structure], *, batch_size: int = 64) -> np.ndarray:  # noqa: D102
        crystals = crystals_from_objects(structures)
        batches = [np.zeros((0, self.dim), dtype=np.float32)]
        for start in range(0, len(crystals), batch_size):
            samples = [self._prepare(crystal) for crystal in crystals[start : start + batch_size]]
            with torch.inference_mode():
                batches.append(self(self.encoder(self.encoder.collate(samples))).float().numpy())
        return np.concatenate(batches)

    def _prepare(self, crystal: Crystal) -> Any:
        try:
            return self.encoder.prepare(crystal.structure)
        except UnsupportedCrystalError as error:
            raise UnsupportedCrystalError(f"{crystal.source}: {error}") from error


class NetworkExpert(Expert):
    """An expert that sees other experts' embeddings: a small network on its trunk.

    Args:
        card: A card with ``trunk`` and ``network``.
        built: Experts by digest that trunks are taken from and added to: many towers stand on few bodies.

    Raises:
        WeightsError: When the weights do not have the checksum of the card or do not fit the trunk.
        CardError: When the trunk is not the one of the card.
    """

    def __init__(self, card: ExpertCard, *, built: dict[str, Expert] | None = None) -> None:
        super().__init__(card)
        built = {} if built is None else built
        self.trunk = nn.ModuleList(build_expert(trunk, built=built) for trunk in find_trunk(card))
        self.network = load_network(card)
        self._freeze(card.network["sizes"][-1])

    def forward(self, embedding: Tensor) -> Tensor:
        """Map the trunk's embeddings, side by side, to the embedding ``[n_crystals, dim]``."""
        return self.network(embedding)

    def embed(self, structures: Sequence[Structure], *, batch_size: int = 64) -> np.ndarray:  # noqa: D102
        return self._embed(structures, batch_size, {})

    def _embed(self, structures: Sequence[Structure], batch_size: int, known: dict[str, np.ndarray]) -> np.ndarray:
        trunk = [cast(Expert, expert) for expert in self.trunk]
        for expert in trunk:
            key = expert.card.digest
            if key not in known and isinstance(expert, NetworkExpert):
                known[key] = expert._embed(structures, batch_size, known)
            elif key not in known:
                known[key] = expert.embed(structures, batch_size=batch_size)
        side_by_side = np.concatenate([known[expert.card.digest] for expert in trunk], axis=1)
        with torch.inference_mode():
            return self(torch.from_numpy(side_by_side)).numpy()


def build_expert(card: ExpertCard, *, built: dict[str, Expert] | None = None) -> Expert:
    """The frozen expert of a card.

    Args:
        card: The card.
        built: Experts by digest; one that is there is used again, a new one is added.
    """
    built = {} if built is None else built
    if card.digest not in built:
        built[card.digest] = NetworkExpert(card, built=built) if card.trunk else EncoderExpert(card)
    return built[card.digest]


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
