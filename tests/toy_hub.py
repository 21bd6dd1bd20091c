"""A small hub in a folder: a CGCNN backbone with random weights, and modules that differ from it a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from toy_experts import cgcnn_expert

from moe_mat.encoders.adapter import adapter_names
from moe_mat.pretrain.modules import start_module
from moe_mat.zoo.card_parts import ModuleOrigin
from moe_mat.zoo.cards import EncoderCard, ModuleCard, write_card
from moe_mat.zoo.weights import write_weights

WIDTH = 16
BOTTLENECK = 2


def backbone(folder: Path, tag: str = "toy_backbone", *, seed: int = 0, **settings: Any) -> EncoderCard:
    """A backbone of two convolutions."""
    return cgcnn_expert(folder, tag, seed=seed, width=WIDTH, **settings)


def module(
    of: EncoderCard,
    tag: str,
    *,
    kind: Literal["full", "adapter"] = "full",
    seed: int,
    step: float = 0.3,
    folder: Path | None = None,
) -> ModuleCard:
    """A module whose trained weights are those of the backbone plus noise; statistics stay the backbone's."""
    folder = folder or of.path.parent
    encoder = start_module(of, bottleneck=BOTTLENECK if kind == "adapter" else None).encoder
    move(encoder, seed=seed, step=step, only_adapters=kind == "adapter")
    weights = encoder.state_dict()
    if kind == "adapter":
        weights = {name: weights[name] for name in sorted(adapter_names(weights))}
    card = ModuleCard(
        tag=tag,
        title=f"toy {tag}",
        license="MIT",
        citation="none",
        encoder=of.encoder,
        settings=of.settings | ({"adapter": BOTTLENECK} if kind == "adapter" else {}),
        readout=of.readout,
        dim=of.dim,
        weights=write_weights(weights, folder / f"{tag}.safetensors"),
        module=ModuleOrigin(kind, of.tag, of.weights_id),
        path=folder / f"{tag}.yaml",
    )
    write_card(card)
    return card


def move(encoder: nn.Module, *, seed: int, step: float, only_adapters: bool) -> None:
    """Add noise to parameters, not to statistics."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(encoder.named_parameters())
    names = sorted(adapter_names(parameters) if only_adapters else parameters)
    with torch.no_grad():
        for name in names:
            noise = torch.randn(parameters[name].shape, generator=generator)
            parameters[name].add_(step * parameters[name].std().nan_to_num(0.1).clamp_min(0.1) * noise)


def hub(folder: Path, *, kind: Literal["full", "adapter"] = "full", n: int = 3, seed: int = 0) -> list[EncoderCard]:
    """A backbone and its modules ``<kind>_0``, ``<kind>_1`` and so on."""
    of = backbone(folder)
    return [of, *(module(of, f"{kind}_{i}", kind=kind, seed=seed + i + 1) for i in range(n))]
