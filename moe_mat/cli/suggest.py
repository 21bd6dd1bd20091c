"""The command ``moe-mat suggest``: which of any number of candidates to measure next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from moe_mat.cli.options import CrystalOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.encoders.devices import Device
from moe_mat.files.whole import write_text
from moe_mat.mixture.settings import DEFAULT_LEVEL
from moe_mat.suggest.settings import ChoiceSettings

if TYPE_CHECKING:
    import pandas as pd

    from moe_mat.suggest import Goal, Screening

# Names of measured candidates, and suggestions, that the screen shows.
NAMED, SHOWN = 5, 20


def suggest(
    path: str,
    *,
    ckpt_path: str,
    goal: str,
    target: str | None = None,
    measured: str | None = None,
    output: str = "suggestions.csv",
    level: float = DEFAULT_LEVEL,
    device: Device = "auto",
    choosing: ChoiceSettings,
    reading: CrystalOptions,
) -> Facts:
    """Say which candidates to measure next: a CSV with ranks, predictions and their intervals.

    Args:
        path: Candidates in any readable format, of any number: they are streamed.
        ckpt_path: Checkpoint of a finished model.
        goal: What is looked for: max, min, target=1.5 (in the target's unit) or uncertainty; of classes class=NAME, the
            most probable members of one, or uncertainty.
        target: Which of several targets.
        measured: Crystals whose value is known, with its column: they set what is to be improved on, and are not
            suggested; by default the data of the run.
        output: CSV file to write.
        level: Share of new crystals whose value lies in its interval; classes have probabilities.
        device: Where encoders compute: cpu, cuda, or auto, a GPU where there is one.
        choosing: How they are chosen.
        reading: How candidates are read.
    """
    from moe_mat.cli.suggest_candidates import FinishedModel, measured_crystals, screen_candidates
    from moe_mat.suggest import Constraints, Goal, Screening, Wanted

    screen.leave_stdout_to(output)
    check_output(output, [path, ckpt_path, measured])
    wanted = Wanted(Goal.parse(goal), choosing.n, choosing.acquisition, choosing.batch)
    constraints = Constraints.parse(choosing.without, choosing.max_atoms)
    model = FinishedModel.read(Path(ckpt_path), device)
    column = model.column(target)
    wanted.goal.check(model.targets[column], model.model.classes)
    known = measured_crystals(Path(ckpt_path), model, measured)
    screening = Screening(wanted, constraints, known, model.model, column=column, level=level)
    left_out = screen_candidates(screening, model, path, reading)
    table = screening.table(prefix=f"{model.targets[column]}_")
    write_text(Path(output), table.to_csv(index=False))
    problems = [str(one) for one in left_out]
    _tell(screening, table, target=model.targets[column], goal=goal, output=output, left_out=problems)
    return {
        "output": output,
        "suggested": table["material_id"].tolist(),
        "considered": screening.considered,
        "known": screening.known,
        "excluded": screening.excluded,
        "left_out": problems,
    }


def _tell(
    screening: Screening, table: pd.DataFrame, *, target: str, goal: str, output: str, left_out: list[str]
) -> None:
    shown = Table(title=f"{target}, goal {goal}")
    rows, of_classes = table.head(SHOWN), bool(screening.model.classes)
    if of_classes:
        rows = _of_classes(rows, target, screening.wanted.goal)
    for name in rows.columns:
        column = name.removeprefix(f"{target}_")
        shown.add_column(column, justify="left" if rows[name].dtype == object else "right")
    for _, row in rows.iterrows():
        shown.add_row(*(f"{one:.4g}" if isinstance(one, float) else str(one) for one in row))
    screen.table(shown)
    n_excluded = sum(screening.excluded.values())
    screen.print(
        f"{len(table)} of {screening.considered} candidates in [bold]{output}[/bold]; {len(screening.known)} are "
        f"measured already, {n_excluded} excluded, {len(left_out)} left out"
    )
    if screening.known:
        names = ", ".join(map(str, screening.known[:NAMED]))
        screen.text(f"  measured already: {names}{', ...' if len(screening.known) > NAMED else ''}")
    for reason, n in screening.excluded.items():
        screen.text(f"  excluded: {n} {reason}")
    for one in left_out:
        screen.text(f"  left out: {one}")
    if len(table) and table.filter(like="_outside").to_numpy(dtype=bool).all():
        said = "probabilities" if of_classes else "intervals"
        screen.text(f"all of them are outside of what the model knows: its {said} are hardly more than a guess there")


def _of_classes(rows: pd.DataFrame, target: str, goal: Goal) -> pd.DataFrame:
    """With the probability of the class that is looked for, or of the predicted one, in place of those of all."""
    each = rows.filter(regex=f"^{re.escape(target)}_p_")
    place = list(rows.columns).index(f"{target}_predicted") + 1
    narrow = rows.drop(columns=each.columns)
    if goal.kind == "class":
        narrow.insert(place, f"probability of {goal.name}", each[f"{target}_p_{goal.name}"])
    else:
        narrow.insert(place, "probability", each.max(axis=1))
    return narrow
