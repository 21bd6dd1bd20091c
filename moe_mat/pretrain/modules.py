"""One module: a copy of a backbone, or adapters in it, trained on one source property."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from moe_mat.encoders import get_encoder
from moe_mat.encoders.adapter import adapter_names
from moe_mat.mixture.heads.mlp import mlp
from moe_mat.pretrain.settings import ModuleTraining
from moe_mat.pretrain.training import SourceModule
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.experts import EncoderExpert, build_expert
from moe_mat.zoo.weights import WeightsError

HEAD_WIDTH = 64


def start_module(backbone: ExpertCard, *, bottleneck: int | None = None) -> EncoderExpert:
    """A copy of a backbone, with adapters that do nothing yet if they have a width.

    Raises:
        WeightsError: When the backbone has no encoder that could be trained.
    """
    expert = build_expert(backbone)
    if not isinstance(expert, EncoderExpert) or not list(expert.parameters()):
        raise WeightsError(f"expert {backbone.tag} has no encoder with weights: it cannot be a backbone")
    if bottleneck is None:
        return expert
    card = expert.card
    try:
        encoder = get_encoder(card.encoder)(**card.settings, adapter=bottleneck)
    except TypeError as error:
        raise WeightsError(f"encoder {card.encoder} of expert {card.tag} takes no adapters") from error
    fresh = adapter_names(encoder.state_dict())
    missing, unexpected = encoder.load_state_dict(expert.encoder.state_dict(), strict=False)
    assert set(missing) == fresh
    assert not unexpected
    return EncoderExpert(card, encoder)


class ModuleProperty(SourceModule):
    """``head(norm(embedding))`` of a source property; what is trained of the embedding becomes the module.

    Statistics of normalisation layers stay those of the backbone, because an expert stays in eval mode. So modules of
    one backbone differ in their weights alone, and a weighted mean of weights is a network that normalises as each of
    them does; averaged statistics would be those of no data at all.

    Args:
        targets: Transformed targets of the training rows ``[n, 1]``.
        training: Says whether everything but the adapters stays as it is.
        seed: Of everything random during training.
        expert: From `start_module`.
    """

    def __init__(self, targets: Tensor, *, training: ModuleTraining, seed: int, expert: EncoderExpert) -> None:
        super().__init__(targets, training, seed=seed)
        self.expert = expert
        names = [name for name, _ in expert.encoder.named_parameters()]
        trained = adapter_names(names) if training.adapters_only else set(names)
        for name, parameter in expert.encoder.named_parameters():
            parameter.requires_grad_(name in trained)
        self.norm = nn.LayerNorm(expert.dim)
        self.head = mlp(expert.dim, targets.shape[1], hidden=[HEAD_WIDTH], activation="softplus")

    def forward(self, inputs: Any) -> Tensor:  # noqa: D102
        return self.head(self.norm(self.expert(self.expert.encoder(inputs))))
