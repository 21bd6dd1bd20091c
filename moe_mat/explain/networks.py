"""What the networks among the experts, which have learned properties of other sources, predict for crystals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from moe_mat.explain.seen import some_of
from moe_mat.zoo.cards import ExpertCard, NetworkCard
from moe_mat.zoo.learned_targets import learned_targets

COLUMNS = ["material_id", "expert", "source", "property", "value", "usual_error", "unit"]


def source_predictions(cards: Sequence[ExpertCard], embeddings: Tensor, ids: Sequence[str]) -> pd.DataFrame:
    """Predictions of source properties in their units, where the embedding of an expert is made of them.

    Args:
        cards: Of the experts.
        embeddings: Theirs side by side ``[n, sum(dims)]``.
        ids: Of the crystals ``[n]``.

    Returns:
        See `moe_mat.explain.Explanation.networks`.
    """
    frames = [pd.DataFrame(columns=COLUMNS)]
    for card, columns in zip(cards, embeddings.split([card.dim for card in cards], dim=1), strict=True):
        source = card.source.get("dataset", "") if isinstance(card.source, dict) else card.source
        for learned, outputs in zip(learned_targets(card), columns.unbind(1), strict=False):
            values = learned.in_unit(outputs.numpy())
            frames.append(
                pd.DataFrame(
                    {
                        "material_id": ids,
                        "expert": card.tag,
                        "source": source,
                        "property": learned.name,
                        "value": values,
                        "usual_error": learned.usual_error(values),
                        "unit": learned.unit,
                    }
                )
            )
    found = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    order = {name: row for row, name in enumerate(ids)}
    return found.sort_values("material_id", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def networks_note(cards: Sequence[ExpertCard]) -> str | None:
    """Why some networks, or all experts, say nothing in units; ``None`` where all that can be said is."""
    told = {tag for card in cards if learned_targets(card) for tag in (card.tag, *_trunk(card))}
    silent = [card for card in cards if isinstance(card, NetworkCard) and card.tag not in told]
    towers = [card.tag for card in silent if card.target is not None and ", " not in card.target]
    if towers:
        return (
            f"what {some_of(towers)} would predict is not known: the layer that gives values is an expert of its own, "
            "called predictions, and not among those of this model, or its card notes no scale"
        )
    return None if told else "no expert of this model is a network that predicts properties of another source"


def _trunk(card: ExpertCard) -> Sequence[str]:
    return card.trunk if isinstance(card, NetworkCard) else ()
