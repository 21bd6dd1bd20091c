"""Small experts in a folder, with random weights: the zoo and what stands on it can be tested in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.zoo.cards import ExpertCard, file_sha256, read_card, write_card
from moe_mat.zoo.experts import PropertyNetwork


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
    """Write card and weights; ``fields`` are those of the card that differ from a plain one."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = None
    if module is not None:
        file = folder / f"{tag}.safetensors"
        save_file(module.state_dict(), file)
        weights = {"file": file.name, "sha256": file_sha256(file)}
    known = {"title": f"toy {tag}", "license": "MIT", "citation": "none", "weights": weights}
    card = ExpertCard(tag=tag, path=folder / f"{tag}.yaml", **(known | fields))
    write_card(card)
    return read_card(card.path)


def cgcnn(*, seed: int = 0, width: int = 8, n_convolutions: int = 2, **settings: Any) -> CGCNNEncoder:
    """A CGCNN with random weights and normalisation statistics, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CGCNNEncoder(width=width, n_convolutions=n_convolutions, **settings)
    randomise(encoder, seed=seed)
    return encoder.eval()


def cgcnn_expert(
    folder: Path, tag: str, *, seed: int = 0, width: int = 8, readout: dict[str, Any] | None = None, **settings: Any
) -> ExpertCard:
    """A CGCNN expert of two convolutions, read off the mean of the last one like the published ones."""
    readout = readout or {"layers": ["conv2"], "statistics": ["mean"], "activation": "softplus"}
    return write_expert(
        folder,
        tag,
        cgcnn(seed=seed, width=width, **settings),
        encoder="cgcnn",
        settings={"width": width, "n_convolutions": 2, **settings},
        readout=readout,
        dim=width * len(readout["layers"]) * len(readout.get("statistics", ["mean"])),
    )


def network_expert(folder: Path, tag: str, *, trunk: list[ExpertCard], sizes: list[int], seed: int = 0) -> ExpertCard:
    """A property network on the embeddings of other experts, its inputs standardised by random constants."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PropertyNetwork(sum(card.dim for card in trunk), sizes)
        network.mean.normal_()
        network.std.uniform_(0.5, 2)
    tags = [card.tag for card in trunk]
    return write_expert(folder, tag, network, trunk=tags, network={"sizes": sizes}, dim=sizes[-1])
