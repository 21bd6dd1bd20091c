"""Import of CGCNN checkpoints in the published layout into a card and a safetensors file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.files.whole import whole_file
from moe_mat.graphs.ties import Ties
from moe_mat.zoo.cards import ExpertCard, validate_card, write_card
from moe_mat.zoo.checkpoints import read_checkpoint
from moe_mat.zoo.experts import WeightsError, build_expert, read_weights

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
    ties: Ties = "canonical",
) -> ExpertCard:
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
        ties: Rule for equally distant neighbours at the cut: ``canonical``, which does not depend on the order of the
            sites, or ``order``, as the published experts were trained.

    Raises:
        WeightsError: When the file is damaged, unsafe, or no CGCNN of this layout; names the file.
        CardError: When the tag is not one; before anything is written.
    """
    source, folder = Path(source), Path(folder)
    stem = re.sub(r"(\.pth)?\.tar$|\.[A-Za-z]+$", "", source.name)
    tag = tag or re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("_.-")
    weights = {
        name: value.contiguous()
        for name, value in _read_checkpoint(source).items()
        if not name.startswith(_OUTPUT_LAYERS)
    }
    if "embedding.weight" not in weights:
        raise WeightsError(f"{source} is not a CGCNN in the published layout: it has no embedding.weight")
    n_convolutions = len({name.split(".")[1] for name in weights if name.startswith("convs.")})
    settings: dict[str, Any] = {"n_convolutions": n_convolutions, "ties": ties}
    try:
        CGCNNEncoder(width=len(weights["embedding.weight"]), **settings).load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{source} is not a CGCNN in the published layout: {error}") from error

    content = save(weights)
    width = len(weights["embedding.weight"])
    card = ExpertCard(
        tag=tag,
        title=title or f"CGCNN imported from {source.name}",
        encoder="cgcnn",
        settings={"width": width, **settings},
        readout={"layers": [f"conv{n_convolutions}"], "statistics": ["mean"], "activation": "softplus"},
        dim=width,
        weights={"file": f"{tag}.safetensors", "sha256": hashlib.sha256(content).hexdigest()},
        target=target,
        unit=unit,
        source=f"imported from {source.name}",
        license=license,
        citation=citation,
        path=folder / f"{tag}.yaml",
    )
    validate_card(card)
    with whole_file(folder / f"{tag}.safetensors") as part:
        part.write_bytes(content)
    write_card(card)
    build_expert(card)  # what was written can be loaded
    return card
