"""Small experts in a folder, with random weights: the zoo and what stands on it can be tested in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import nn

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.zoo.cards import EncoderCard, ExpertCard, NetworkCard, read_card
from moe_mat.zoo.property_network import PropertyNetwork
from moe_mat.zoo.weights import write_weights


def randomise(module: nn.Module, *, seed: int) -> nn.Module:
    """Give the normalisation layers statistics and scales that differ from those of a new module."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            for values in (part.weight.data, part.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (part.bias.data, part.running_mean):
                values.normal_(0, 0.2, generator=generator)
    return module


def write_expert(folder: Path, tag: str, module: nn.Module | None, **fields: Any) -> ExpertCard:
    """Write card and weights; ``fields`` are those of the card, as YAML has them, that differ from a plain one."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = None
    if module is not None:
        weights = write_weights(module.state_dict(), folder / f"{tag}.safetensors").to_dict()
    known = {"tag": tag, "title": f"toy {tag}", "license": "MIT", "citation": "none", "weights": weights}
    path = folder / f"{tag}.yaml"
    path.write_text(yaml.safe_dump(known | fields))
    return read_card(path)


def cgcnn(*, seed: int = 0, width: int = 8, n_convolutions: int = 2, **settings: Any) -> CGCNNEncoder:
    """A CGCNN with random weights and normalisation statistics, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CGCNNEncoder(width=width, n_convolutions=n_convolutions, **settings)
    randomise(encoder, seed=seed)
    return encoder.eval()


def cgcnn_expert(
    folder: Path, tag: str, *, seed: int = 0, width: int = 8, readout: dict[str, Any] | None = None, **settings: Any
) -> EncoderCard:
    """A CGCNN expert of two convolutions, read off the mean of the last one like the published ones."""
    readout = readout or {"layers": ["conv2"], "statistics": ["mean"], "activation": "softplus"}
    card = write_expert(
        folder,
        tag,
        cgcnn(seed=seed, width=width, **settings),
        encoder="cgcnn",
        settings={"width": width, "n_convolutions": 2, **settings},
        readout=readout,
        dim=width * len(readout["layers"]) * len(readout.get("statistics", ["mean"])),
    )
    return cast(EncoderCard, card)


def network_expert(folder: Path, tag: str, *, trunk: list[ExpertCard], sizes: list[int], seed: int = 0) -> NetworkCard:
    """A property network on the embeddings of other experts, its inputs standardised by random constants."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PropertyNetwork(sum(card.dim for card in trunk), sizes)
        network.mean.normal_()
        network.std.uniform_(0.5, 2)
    tags = [card.tag for card in trunk]
    return cast(NetworkCard, write_expert(folder, tag, network, trunk=tags, network={"sizes": sizes}, dim=sizes[-1]))
