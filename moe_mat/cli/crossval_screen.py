"""What crossval shows: the errors of each fold, their mean and their spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from moe_mat.cli.screen import screen
from moe_mat.crystals.units import with_unit
from moe_mat.mixture.fold_scores import METRICS


def print_crossval(found: Mapping[str, Any], *, name: str, folder: Path) -> None:
    """Show a cross-validation.

    Args:
        found: What `moe_mat.mixture.fold_folder.FoldFolder.finish` returns.
        name: Of the data.
        folder: Where all is written.
    """
    folds, left_out = found["folds"], found["left_out"]
    screen.print(f"\n[bold]{escape(name)}[/bold]: {found['rows']} crystals; {len(left_out)} left out")
    if left_out:
        screen.text(f"  first: {left_out[0]}; all in crossval.json")
    units, several = found["units"], len({row["target"] for row in folds}) > 1
    unit = "" if several else "".join(f" ({one})" for one in units.values())
    target = [Column("target", overflow="fold")] if several else []
    whole = [
        Column(name, no_wrap=True) for name in ("repeat", "fold", "train", "val", "test", f"MAE{unit}", "RMSE", "R2")
    ]
    whole.insert(6, Column("MAE of the training median", max_width=9))
    scores = Table(*target, *whole, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in folds:
        counts = [row["repeat"], row["fold"], row["train"], row["val"], row["n"]]
        scores.add_row(*([with_unit(row["target"], units)] if several else []), *map(str, counts), *_numbers(row))
    scores.add_section()
    for row in found["summary"]:
        scores.add_row(
            *([with_unit(row["target"], units)] if several else []),
            row["of"],
            "",
            "",
            "",
            "",
            *_numbers(row),
            style="bold",
        )
    screen.print(scores)
    screen.text("folds share training rows: the mean is less certain than the spread of the folds makes it look")
    for warning in found["warnings"]:
        screen.print(f"[yellow]warning[/yellow]: {escape(warning)}", highlight=False, soft_wrap=True)
    screen.text(f"crossval.json, predictions.csv and splits.json: {folder}")


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return ["" if row[name] is None else f"{row[name]:.3f}" if name == "r2" else f"{row[name]:.4g}" for name in METRICS]
