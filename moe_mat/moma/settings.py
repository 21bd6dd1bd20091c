"""Settings of a composition. Nothing heavy is imported, so that the help of a command can be shown at once."""

from __future__ import annotations

from dataclasses import dataclass

from moe_mat.mixture.settings import Transform


@dataclass(frozen=True, kw_only=True)
class CompositionSettings:
    """How modules are tried on the training crystals, and what their weights are to be.

    Attributes:
        k: Neighbours that predict a crystal.
        temperature: Of their similarities.
        entropy: Strength of a term that makes weights even.
        sparsity: Strength of a term that prefers few modules.
        transform: Of the target, with constants from the training rows.
    """

    k: int = 5
    temperature: float = 0.2
    entropy: float = 0.0
    sparsity: float = 0.0
    transform: Transform = "auto"
