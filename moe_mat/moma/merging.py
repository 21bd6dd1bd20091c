"""Merging: modules of one backbone become one expert, the weighted mean of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moe_mat.zoo.cards import EncoderCard, ExpertCard, ModuleCard, write_card
from moe_mat.zoo.expert_weights import read_expert_weights
from moe_mat.zoo.experts import build_expert, load_encoder
from moe_mat.zoo.weights import write_weights


class MergeError(ValueError):
    """Experts that cannot be merged; the message names two of them and what they do not have in common."""


def _common_ground(card: ModuleCard) -> dict[str, object]:
    return {
        "encoder": card.encoder,
        "settings of the encoder": card.settings,
        "readout": card.readout.to_dict(),
        "kind": card.module.kind,
        "backbone": card.module.backbone,
        "initialisation": card.module.backbone_weights,
    }


def check_mergeable(cards: Sequence[ExpertCard]) -> list[ModuleCard]:
    """Make sure that the mean of some experts' weights means something.

    Returns:
        The same cards, all of them modules.

    Raises:
        MergeError: When there is none, one is no module, or two have not the same architecture, kind and backbone.
    """
    if not cards:
        raise MergeError("there is nothing to merge: name some modules")
    modules: list[ModuleCard] = []
    for card in cards:
        if not isinstance(card, ModuleCard):
            raise MergeError(f"expert {card.tag} is no module of a backbone: its weights cannot be merged with others")
        modules.append(card)
        first, other = _common_ground(modules[0]), _common_ground(card)
        for name, value in first.items():
            if other[name] != value:
                raise MergeError(
                    f"modules {cards[0].tag} and {card.tag} cannot be merged: their {name} differs "
                    f"({value} and {other[name]})"
                )
    return modules


def merge(cards: Sequence[ExpertCard], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Weighted mean of the weights of modules, ``theta = sum_j w_j theta_j``.

    The statistics of normalisation layers are the backbone's in every module, because they do not move while a module
    is trained: the merged network is a straight line between networks that normalise alike.

    Args:
        cards: Modules with one architecture, kind and backbone.
        weights: Tag to weight; they sum to 1. Modules without a weight are not read.

    Returns:
        Name to tensor, in the precision of the modules: those of a whole encoder, or of its adapters.

    Raises:
        MergeError: When modules cannot be merged, a weight has no module, or weights are not convex.
    """
    check_mergeable(cards)
    by_tag = {card.tag: card for card in cards}
    if unknown := sorted(set(weights) - set(by_tag)):
        raise MergeError(f"there are weights but no modules {', '.join(unknown)}; the modules are {', '.join(by_tag)}")
    shares = {tag: float(weight) for tag, weight in weights.items() if weight != 0}
    if min(shares.values(), default=-1.0) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise MergeError(f"the weights are not convex: they must not be negative, and sum to 1, not {shares}")
    states = {tag: read_expert_weights(by_tag[tag]) or {} for tag in shares}
    first = next(iter(states.values()))
    for tag, state in states.items():
        if {n: v.shape for n, v in state.items()} != {n: v.shape for n, v in first.items()}:
            raise MergeError(
                f"the weights of module {tag} have other names or shapes than those of {next(iter(states))}"
            )
    merged = {}
    for name, value in first.items():
        mean = torch.zeros(value.shape, dtype=torch.float64)
        for tag, share in shares.items():
            mean += share * states[tag][name].double()
        merged[name] = mean.to(value.dtype)
    return merged


def write_merged(
    cards: Sequence[ExpertCard],
    weights: Mapping[str, float],
    *,
    folder: str | Path,
    tag: str,
    training: Mapping[str, Any] = {},
) -> EncoderCard:
    """Write the merged module as an expert of its own, with all weights of its encoder.

    Args:
        cards: See `merge`.
        weights: See `merge`.
        folder: Where card and weights go.
        tag: Name of the expert.
        training: What the card notes of its making beside the weights.
    """
    merged = merge(cards, weights)
    first, folder = check_mergeable(cards)[0], Path(folder)
    shares = sorted(((weight, tag) for tag, weight in weights.items() if weight > 0), reverse=True)
    card = EncoderCard(
        tag=tag,
        title=f"Merged from {', '.join(f'{weight:.2f} {tag}' for weight, tag in shares)}",
        dim=first.dim,
        license=first.license,
        citation=first.citation,
        weights=write_weights({**load_encoder(first).state_dict(), **merged}, folder / f"{tag}.safetensors"),
        encoder=first.encoder,
        settings=first.settings,
        readout=first.readout,
        training={"merged": {tag: weight for weight, tag in shares}, **training},
        path=folder / f"{tag}.yaml",
    )
    write_card(card)
    build_expert(card)  # what was written can be loaded
    return card
