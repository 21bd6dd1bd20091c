"""What predict shows: where the predictions are, what must be known of them, and of few crystals the answer itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_mat.cli.screen import Facts, screen
from moe_mat.crystals.errors import LeftOut

# Crystals up to which the answers are shown as well.
FEW = 5


def tell_predictions(
    counts: Mapping[str, int],
    answers: Sequence[Mapping[str, Any]],
    *,
    units: Mapping[str, str],
    level: float,
    left_out: Sequence[LeftOut],
    path: Path,
) -> Facts:
    """Show predictions; returns them as plain data.

    Args:
        counts: Number of ``rows``, and of those ``in_sample`` and ``outside``.
        answers: Columns of the first rows, by name.
        units: Target to its unit, or to nothing.
        level: Of the intervals.
        left_out: Crystals that could not be used.
        path: Where the predictions are.
    """
    few = list(answers) if counts["rows"] <= FEW else []
    for row in few:
        for target, unit in units.items():
            screen.text(answer(row, target, unit, level))
    screen.print(f"{counts['rows']} predictions in [bold]{path}[/bold]")
    if counts["in_sample"]:
        screen.text(f"  {counts['in_sample']} of them for crystals that the model has learned from: in_sample")
    if counts["outside"]:
        screen.text(f"  {counts['outside']} of them unlike the crystals that the model has learned from: outside")
    listed = [str(one) for one in left_out]
    if listed:
        screen.text("\n  ".join([f"{len(listed)} crystals left out:", *listed]))
    found: dict[str, object] = {"output": path, **counts, "left_out": listed}
    return found | ({"predictions": few} if few else {})


def answer(row: Mapping[str, Any], target: str, unit: str, level: float) -> str:
    """One prediction in a line.

    Example:
        >>> columns = {"K_predicted": 24.26, "K_lower": 20.04, "K_upper": 28.5, "K_outside": True}
        >>> answer({"material_id": "NaCl", "in_sample": False, **columns}, "K", "GPa", 0.9)
        'NaCl: K 24.26 GPa, 90 % interval 20.04 to 28.50 GPa, unlike the crystals that the model has learned from'
        >>> columns = {"metal_predicted": "no", "metal_p_no": 0.97, "metal_p_yes": 0.03, "metal_outside": False}
        >>> answer({"material_id": "NaCl", "in_sample": False, **columns}, "metal", "", 0.9)
        'NaCl: metal no, with a probability of 97 %'
    """
    predicted = row[f"{target}_predicted"]
    if isinstance(predicted, str):
        share = 100 * row[f"{target}_p_{predicted}"]
        text = f"{row['material_id']}: {target} {predicted}, with a probability of {share:.0f} %"
    else:
        text = f"{row['material_id']}: {_number(row, target, unit, level)}"
    if row["in_sample"]:
        text += ", a crystal that the model has learned from"
    elif row[f"{target}_outside"]:
        text += ", unlike the crystals that the model has learned from"
    return text


def _number(row: Mapping[str, Any], target: str, unit: str, level: float) -> str:
    behind = f" {unit}" if unit else ""
    value, lower, upper = (float(row[f"{target}_{kind}"]) for kind in ("predicted", "lower", "upper"))
    name = target.removesuffix(f"({unit})").removesuffix(f"[{unit}]").rstrip() if unit else target
    if lower == lower and upper == upper:  # too few crystals were held out to know
        behind += f", {100 * level:.4g} % interval {lower:#.4g} to {upper:#.4g}{behind}"
    return f"{name} {value:#.4g}{behind}"
