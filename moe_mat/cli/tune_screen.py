"""What tune shows: the trials against the given settings, and whether any of them is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from moe_mat.cli.screen import screen
from moe_mat.tune.results import BEST, named

# Trials on the screen; trials.csv has all.
SHOWN = 12


def print_tuning(found: Mapping[str, Any], *, name: str, targets: Sequence[str], folder: Path) -> None:
    """Show a search.

    Args:
        found: What `moe_mat.tune.results.found_by` returns, and what the command adds.
        name: Of the data.
        targets: Names of the targets.
        folder: Where all is written.
    """
    trials, given = found["trials"], found["default"]
    rows = f"{found['rows']} crystals, and {found['test_rows']} test rows that stay unseen"
    screen.print(f"\n[bold]{escape(name)}[/bold]: {rows}; {len(found['left_out'])} left out")
    error = f"MAE{''.join(f' ({one})' for one in found['units'].values())}" if len(targets) == 1 else "MAE in spreads"
    columns = [Column("settings", overflow="fold", ratio=1)]
    table = Table("trial", *columns, "folds", error, "to the defaults, %", "s", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [one for at, one in enumerate(trials) if at < SHOWN or one["trial"] == 0]
    for one in shown:
        score = "" if one["score"] is None else f"{one['score']:.4g}"
        change = "" if one["trial"] == 0 or one["score"] is None else _change(one, given)
        folds = f"{one['folds']}{'' if one['state'] == 'complete' else ' ' + one['state']}"
        style = "bold" if one["trial"] == (found["best_trial"] if found["wins"] else 0) else None
        table.add_row(
            str(one["trial"]), escape(named(one["changes"])), folds, score, change, f"{one['seconds']:.0f}", style=style
        )
    screen.print(table)
    if hidden := len(trials) - len(shown):
        screen.text(f"and {hidden} others in trials.csv")
    screen.text(
        "the same folds for all; the change is the mean of paired differences over folds, ± its standard error, which "
        "counts that folds share training rows"
    )
    for one in trials:
        if one["state"] == "failed":
            screen.text(f"trial {one['trial']} was left out: {one['reason']}")
    for warning in found["warnings"]:
        screen.print(f"[yellow]warning[/yellow]: {escape(warning)}", highlight=False, soft_wrap=True)
    if found["best_trial"]:
        below = f"{100 * found['optimism']:.1f} % below that"
        screen.text(
            f"optimism: what the other folds choose has an error of {found['chosen_elsewhere']:.4g} on each fold (the "
            f"defaults: {given:.4g}); the best's own {found['best']:.4g} is {below}, for having been chosen by it"
        )
    screen.print(f"[bold]{escape(found['verdict'])}[/bold]", highlight=False, soft_wrap=True)
    screen.text(f"train it, and score it on the unseen test rows: moe-mat fit --config {folder / BEST}")


def _change(one: Mapping[str, Any], given: float) -> str:
    error = "" if one["error"] is None else f" ± {100 * one['error'] / given:.1f}"
    return f"{100 * one['difference'] / given:+.1f}{error}"
