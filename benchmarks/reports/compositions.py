"""The table of what is predicted from formulas alone: errors by task, and which experts are worth having."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import yaml

from benchmarks.cells.results import Result, is_finished
from benchmarks.methods.cards import CARDS, title_of
from benchmarks.reports.document import Document, Table

OURS, FOREST = "moe-composition", "rf-magpie"
WITH_STRUCTURES = ("moe-strict", "moe")
# By these splits experts were chosen, by their validation rows.
CHOSEN_BY = (0, 1)

Cells = Mapping[str, Mapping[int, Result]]


def build(results: Sequence[Result], reference: Sequence[Result]) -> Document:
    """The document.

    Args:
        results: of methods that see formulas alone.
        reference: of methods that see structures.

    Raises:
        ValueError: there is no result of the default.
    """
    found = {method: _cells(results, method) for method in dict.fromkeys(r["method"] for r in results)}
    if not found.get(OURS):
        raise ValueError(f"there is no result of {OURS}: run the sweep, see python -m benchmarks.compositions --help")
    tasks = sorted(found[OURS])
    splits = {task: sorted(found[OURS][task]) for task in tasks}
    document = Document("Formulas alone")
    document.add(
        "Test MAE, mean over the published splits ± standard deviation over them; all methods are fitted on training "
        f"and validation rows in the end. In brackets, the change against `{FOREST}` on the same rows."
    )
    known = {**found, **{method: _cells(reference, method) for method in WITH_STRUCTURES}}
    shown = [method for method in ("median", FOREST, "formula-magpie", OURS, *WITH_STRUCTURES) if known.get(method)]
    rows = []
    for method in shown:
        sees = "structures" if method in WITH_STRUCTURES else "formulas"
        rows.append(
            [f"`{method}`", _title(method), sees, *(_error(known, method, task, splits[task]) for task in tasks)]
        )
    units = [f"{task} ({found[OURS][task][splits[task][0]]['unit']})" for task in tasks]
    document.add(Table(["method", "what", "sees", *units], rows, text=["what"]))
    others = [method for method in found if method not in (OURS, FOREST)]
    compared = [row for method in others if (row := _compared(found, method, tasks))]
    if compared:
        header = ["experts", "what", *(f"{task}, {part}" for task in tasks for part in ("validation", "test"))]
        document.add(
            (2, "Which experts"),
            f"Change of the MAE against `{OURS}` on splits {' and '.join(map(str, CHOSEN_BY))}; experts were chosen by "
            "the validation rows of these.",
            Table(header, compared, text=["what"]),
        )
    return document


def _cells(results: Sequence[Result], method: str) -> dict[str, dict[int, Result]]:
    """Task to split to cell of the first seed, the only one that methods on formulas have."""
    cells: dict[str, dict[int, Result]] = {}
    for result in results:
        whole = is_finished(result) and not result.get("n_labels")
        if result["method"] == method and whole and result["seed"] == 0:
            cells.setdefault(result["task"], {})[result["split"]] = result
    return cells


def _title(method: str) -> str:
    card = CARDS / "compositions" / f"{method}.yaml"
    return str(yaml.safe_load(card.read_text(encoding="utf-8"))["title"]) if card.is_file() else title_of(method)


def _error(known: Mapping[str, Cells], method: str, task: str, splits: Sequence[int]) -> str:
    own, forest = known[method].get(task, {}), known.get(FOREST, {}).get(task, {})
    if not set(splits) <= set(own):
        return ""
    errors = [float(own[split]["test_mae"]) for split in splits]
    text = f"{fmean(errors):.4g} ± {stdev(errors):.2g}" if len(errors) > 1 else f"{errors[0]:.4g}"
    if method == FOREST or not set(splits) <= set(forest):
        return text
    change = fmean(error / forest[split]["test_mae"] - 1 for split, error in zip(splits, errors, strict=True))
    return f"{text} ({change:+.1%})"


def _compared(found: Mapping[str, Cells], method: str, tasks: Sequence[str]) -> list[str]:
    changes = []
    for task in tasks:
        own, ours = found[method].get(task, {}), found[OURS][task]
        if not all(split in own and split in ours for split in CHOSEN_BY):
            return []
        changes += [
            f"{fmean(own[split][name] / ours[split][name] - 1 for split in CHOSEN_BY):+.1%}"
            for name in ("val_mae", "test_mae")
        ]
    return [f"`{method}`", _title(method), *changes]
