"""Fine-tuning: whole encoders are trained with gate and head, such as a merged module with a fresh head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from torch import Tensor, nn

from moe_mat.mixture.crystal_inputs import whole_encoders
from moe_mat.mixture.heads.perceptron import NetworkMixture
from moe_mat.mixture.transforms import TargetTransform
from moe_mat.zoo.experts import EncoderExpert, Expert


class TunedEncoders(nn.Module):
    """Experts whose encoders are trained. Statistics of normalisation layers stay those of the pretraining.

    Args:
        experts: Experts of their own, on the same graphs.

    Raises:
        ValueError: When they cannot be trained together.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(whole_encoders(experts))
        self.requires_grad_(True)

    def forward(self, batch: Any, chosen: Collection[int]) -> dict[int, Tensor]:
        """Embeddings of the chosen experts: index to ``[n_crystals, dim]``."""
        experts = {index: cast(EncoderExpert, self.experts[index]) for index in chosen}
        return {index: expert(expert.encoder(batch)) for index, expert in experts.items()}


class FineTunedMixture(NetworkMixture):
    """``head(mix(gate, project(embeddings)))`` with everything trained; of one expert, the gate has no choice.

    Args:
        dims: Widths of the experts' embeddings.
        transform: Of the targets.
        settings: The arguments of `moe_mat.mixture.module.MixtureOfExperts`.
        experts: Whose encoders are trained.
    """

    def __init__(
        self, dims: Sequence[int], transform: TargetTransform, settings: dict[str, Any], *, experts: Sequence[Expert]
    ) -> None:
        super().__init__(dims, transform, settings)
        self.tail = cast(Any, TunedEncoders(experts))
