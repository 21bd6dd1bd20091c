"""The appendix on labels that may be wrong: largest errors that all methods have in common. They are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from benchmarks.reports.bootstrap import Errors
from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, number
from benchmarks.reports.scores import Key

# Task -> material id -> formula and what speaks against its label.
NOTES = Path(__file__).parents[1] / "suspect_labels.yaml"
# An error is large that is so many times a method's own mean error.
LARGE = 5.0
MOST = 8
# A constant is no witness against a label.
NO_WITNESS = ("median",)


def common_errors(errors: Mapping[str, Errors]) -> dict[str, float]:
    """How far the crystals of a task are off for every method, the worst first.

    Args:
        errors: method -> errors, all on the same crystals.

    Returns:
        Material id -> the smallest, over methods, of its mean error over the mean error of the method.
    """
    ids = next(iter(errors.values())).ids
    ratios = np.min([one.by_crystal / max(one.by_crystal.mean(), 1e-300) for one in errors.values()], axis=0)
    return {ids[row]: float(ratios[row]) for row in np.argsort(-ratios, kind="stable")}


def suspect_labels(found: Findings, document: Document) -> None:
    """A table of all tasks."""
    notes: Mapping[str, Mapping[str, str]] = yaml.safe_load(NOTES.read_text(encoding="utf-8"))
    rows = []
    for task in found.own_tasks:
        known = {m: found.errors[Key(task, m)] for m in found.methods if Key(task, m) in found.errors}
        witnesses = {m: errors for m, errors in known.items() if m not in NO_WITNESS}
        if found.reference not in witnesses or len({errors.ids for errors in witnesses.values()}) > 1:
            continue
        ratios = common_errors(witnesses)
        large = [name for name, ratio in ratios.items() if ratio >= LARGE][:MOST]
        noted = [name for name in notes.get(task, {}) if name in ratios and name not in large]
        rows += [_row(found, task, name, ratios[name], notes.get(task, {}).get(name, "")) for name in [*large, *noted]]
    document.add(
        f"Crystals on which the mean error of every method but the constant is at least {LARGE:.0f} times its MAE, "
        f"at most {MOST} a task, and others whose label contradicts what is known. Where all methods agree against "
        "a label, it may be wrong, or right and out of reach of all. **All are kept**, in training and test, as "
        "they are published. Share: of the error of the reference method over all test rows."
    )
    header = [
        "task",
        "crystal",
        "label",
        f"`{found.reference}`",
        "share of its error",
        "times MAE, at least",
        "remark",
    ]
    document.add(Table(header, rows, text=("crystal", "remark")) if rows else "There is none.")


def _row(found: Findings, task: str, name: str, ratio: float, note: str) -> list[str]:
    errors = found.errors[Key(task, found.reference)]
    row = errors.ids.index(name)
    predicted = float(np.nanmean(errors.predictions[:, row]))
    share = float(np.nansum(errors.values[:, row]) / errors.pooled.sum())
    formula, _, remark = note.partition(": ")
    crystal = f"{formula}, {name}" if formula else name
    cells = [number(float(errors.targets[row])), number(predicted), f"{share:.1%}", f"{ratio:.0f}", remark]
    return [found.cards.of(task).title, crystal, *cells]
