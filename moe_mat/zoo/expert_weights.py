"""The weights of an expert: checked against its card, and given to its encoder or network strictly."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from torch import Tensor, nn

from moe_mat.encoders.adapter import adapter_names
from moe_mat.files.checksum import known_sha256
from moe_mat.zoo.card_parts import PackageWeights, WeightsFile
from moe_mat.zoo.cards import ExpertCard, ModuleCard, find_backbone
from moe_mat.zoo.weights import WeightsError, read_weights


def read_expert_weights(card: ExpertCard) -> dict[str, Tensor] | None:
    """The weights in an expert's own file, checked against its card; ``None`` where it has no file.

    Raises:
        WeightsError: When the file is missing, damaged, unsafe, or another one than the card says.
    """
    path = card.weights_file
    if path is None or not isinstance(card.weights, WeightsFile):
        return None
    weights = read_weights(path)
    _check_file(card)
    return weights


def check_weights(cards: Iterable[ExpertCard]) -> None:
    """Make sure that experts still have the weights of their cards, without loading them.

    Embeddings that come from a cache are those of the card; whoever uses them should learn that the file beside it is
    another one by now, and not when the first new crystal comes.

    Raises:
        WeightsError: When a file is missing or not the one of its card, or a package is installed in another version.
        CardError: When the backbone of a module is not there.
    """
    for card in cards:
        if isinstance(card.weights, PackageWeights):
            _check_package(card.weights, card.tag)
        _check_file(card)
        if isinstance(card, ModuleCard) and card.is_adapter:
            check_weights([find_backbone(card)])


def _check_file(card: ExpertCard) -> None:
    path = card.weights_file
    if path is None or not isinstance(card.weights, WeightsFile):
        return
    try:
        found = known_sha256(path)
    except FileNotFoundError as error:
        raise WeightsError(f"the weights file {path} is missing") from error
    if found != card.weights.sha256:
        raise WeightsError(f"{path} does not have the SHA-256 of its card {card.path}: fetch the file again")


def load_weights(module: nn.Module, card: ExpertCard) -> None:
    """Give an expert's weights to its encoder or network.

    Args:
        module: Has new weights, or those of the package that the card names.
        card: Of the expert.

    Raises:
        WeightsError: When the weights are not those of the card, or do not fit.
    """
    if isinstance(card.weights, PackageWeights):
        _check_package(card.weights, card.tag)
    weights = read_expert_weights(card)
    if weights is None:
        return
    if isinstance(card, ModuleCard) and card.is_adapter:
        weights = _with_backbone(weights, card, known=module.state_dict())
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{card.weights_file} does not fit expert {card.tag}: {error}") from error


def _check_package(weights: PackageWeights, tag: str) -> None:
    if (installed := version(weights.package)) != weights.version:
        raise WeightsError(
            f"expert {tag} has the weights of {weights.id}, but {weights.package} {installed} is installed: "
            f"pip install {weights.package}=={weights.version}"
        )


def _with_backbone(adapters: dict[str, Tensor], card: ModuleCard, *, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adapters beside the weights of their backbone, which come from its file or with the encoder (``known``)."""
    if others := set(adapters) - adapter_names(adapters):
        raise WeightsError(f"{card.weights_file} holds more than adapters: {', '.join(sorted(others)[:3])}")
    frozen = read_expert_weights(find_backbone(card))
    if frozen is None:
        frozen = {name: known[name] for name in set(known) - adapter_names(known)}
    return frozen | adapters
