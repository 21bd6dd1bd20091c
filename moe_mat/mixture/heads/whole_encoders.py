"""Fine-tuning: whole encoders are trained with gate and head, such as a merged module with a fresh head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from torch import Tensor, nn

from moe_mat.mixture.heads.tuned import TunedExperts
from moe_mat.zoo.experts import EncoderExpert, Expert


def trainable_encoders(experts: Sequence[Expert]) -> list[EncoderExpert]:
    """Experts whose encoders can be trained together.

    Raises:
        ValueError: When one has no encoder with weights, or they need different inputs.
    """
    found = []
    for expert in experts:
        if not isinstance(expert, EncoderExpert) or not list(expert.parameters()):
            raise ValueError(f"expert {expert.tag} has no encoder with weights: it cannot be fine-tuned; leave it out")
        found.append(expert)
    if len({expert.encoder.prepare_key for expert in found}) != 1:
        tags = ", ".join(expert.tag for expert in found)
        raise ValueError(f"experts {tags} read different graphs: they cannot be fine-tuned together")
    return found


class WholeEncoders(TunedExperts):
    """Experts whose encoders are trained. Statistics of normalisation layers stay those of the pretraining.

    Args:
        experts: Experts of their own, on the same graphs.

    Raises:
        ValueError: When they cannot be trained together.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        encoders = trainable_encoders(experts)
        self.experts = nn.ModuleList(encoders)
        self.moves = all(expert.encoder.moves for expert in encoders)
        self.requires_grad_(True)

    def forward(self, batch: Any, chosen: Collection[int]) -> dict[int, Tensor]:
        """Embeddings of the chosen experts: index to ``[n_crystals, dim]``."""
        experts = {index: cast(EncoderExpert, self.experts[index]) for index in chosen}
        return {index: expert(expert.encoder(batch)) for index, expert in experts.items()}
