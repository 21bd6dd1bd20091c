"""What crossval shows: the errors of each fold, their mean and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from moe_mat.cli.run_screen import SHOWN, SHOWN_OF_CLASSES
from moe_mat.cli.screen import screen
from moe_mat.crystals.units import with_unit
from moe_mat.mixture.fold_scores import METRICS, OF_CLASSES


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
    several, names = len({row["target"] for row in folds}) > 1, OF_CLASSES if "log_loss" in folds[0] else METRICS
    units, headings = found["units"], SHOWN_OF_CLASSES if "log_loss" in folds[0] else SHOWN
    if not several:
        headings = {**headings, "mae": f"MAE{''.join(f' ({one})' for one in units.values())}"}
    target = [Column("target", overflow="fold")] if several else []
    whole = [Column(name, no_wrap=True) for name in ("repeat", "fold", "train", "val", "test")]
    whole += [_heading(headings[name]) for name in names]
    scores = Table(*target, *whole, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in folds:
        counts = [row["repeat"], row["fold"], row["train"], row["val"], row["n"]]
        called = [with_unit(row["target"], units)] if several else []
        scores.add_row(*called, *map(str, counts), *_numbers(row, names))
    scores.add_section()
    for row in found["summary"]:
        called = [with_unit(row["target"], units)] if several else []
        scores.add_row(*called, row["of"], "", "", "", "", *_numbers(row, names), style="bold")
    screen.print(scores)
    screen.text("folds share training rows: the mean is less certain than the spread of the folds makes it look")
    for warning in found["warnings"]:
        screen.print(f"[yellow]warning[/yellow]: {escape(warning)}", highlight=False, soft_wrap=True)
    screen.text(f"crossval.json, predictions.csv and splits.json: {folder}")


def _heading(name: str) -> Column:
    """Of numbers in one line, or where it is long in several, without breaking a word."""
    return Column(name, no_wrap=True) if len(name) < 10 else Column(name, max_width=9)


def _numbers(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    short = {"r2", *OF_CLASSES}
    return ["" if row[name] is None else f"{row[name]:.3f}" if name in short else f"{row[name]:.4g}" for name in names]
