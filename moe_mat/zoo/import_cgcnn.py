"""Import of CGCNN checkpoints in the published layout into a card and a safetensors file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.graphs.ties import Ties
from moe_mat.zoo.card_files import tag_of_file
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard, validate_card, write_card
from moe_mat.zoo.checkpoints import read_checkpoint
from moe_mat.zoo.experts import build_expert
from moe_mat.zoo.weights import WeightsError, read_weights, write_weights

# The published models' own output layers; an expert ends at its embedding.
_OUTPUT_LAYERS = ("conv_to_fc.", "fc_out.", "fcs.")


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_weights(path)
    content = read_checkpoint(path)
    weights = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(weights, dict) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise WeightsError(f"{path} holds no state dict of tensors")
    return weights


def _encoder_weights(source: Path, *, ties: Ties) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a checkpoint's encoder, and the settings of the encoder that they fit."""
    weights = {name: value for name, value in _read_checkpoint(source).items() if not name.startswith(_OUTPUT_LAYERS)}
    if "embedding.weight" not in weights:
        raise WeightsError(f"{source} is not a CGCNN in the published layout: it has no embedding.weight")
    n_convolutions = len({name.split(".")[1] for name in weights if name.startswith("convs.")})
    settings: dict[str, Any] = {
        "width": len(weights["embedding.weight"]),
        "n_convolutions": n_convolutions,
        "ties": ties,
    }
    try:
        CGCNNEncoder(**settings).load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{source} is not a CGCNN in the published layout: {error}") from error
    return weights, settings


def import_cgcnn(
    source: str | Path,
    *,
    folder: str | Path,
    tag: str | None = None,
    title: str | None = None,
    target: str | None = None,
    unit: str | None = None,
    license: str = "not stated",
    citation: str = "not stated",
    trained_on: str | None = None,
    ties: Ties = "canonical",
) -> EncoderCard:
    """Convert a CGCNN checkpoint into an expert: a card and a safetensors file.

    Args:
        source: ``.pth.tar``, ``.pt`` or ``.safetensors`` file with the published parameter names; code is refused.
        folder: Where the card and the weights go.
        tag: Name of the expert; by default that of the file, with ``_`` for what a tag cannot hold.
        title: A line that says what it is.
        target: The property it was trained on.
        unit: The property's unit.
        license: Licence of the weights.
        citation: What to cite.
        trained_on: The source of what it learned.
        ties: Rule for equally distant neighbours at the cut: ``canonical``, which does not depend on the order of the
            sites, or ``order``, as the published experts were trained.

    Raises:
        WeightsError: When the file is damaged, unsafe, or no CGCNN of this layout; names the file.
        CardError: When the tag is not one; before anything is written.
    """
    source, folder = Path(source), Path(folder)
    tag = tag or tag_of_file(source)
    weights, settings = _encoder_weights(source, ties=ties)
    card = EncoderCard(
        tag=tag,
        title=title or f"CGCNN imported from {source.name}",
        encoder="cgcnn",
        settings=settings,
        readout=Readout((f"conv{settings['n_convolutions']}",), statistics=("mean",), activation="softplus"),
        dim=settings["width"],
        target=target,
        unit=unit,
        source=trained_on or f"imported from {source.name}",
        license=license,
        citation=citation,
        path=folder / f"{tag}.yaml",
    )
    validate_card(card)
    card = replace(card, weights=write_weights(weights, folder / f"{tag}.safetensors"))
    write_card(card)
    build_expert(card)  # what was written can be loaded
    return card
