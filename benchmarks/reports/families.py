"""What each family of experts adds: its cells beside those of the default, and how errors fall as the hub grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.cells.results import Result, is_finished
from benchmarks.methods.cards import load_method
from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.scores import Key, score
from moe_mat.tasks import TaskCards

REFERENCE = "moe"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A set of experts beside the default.

    Attributes:
        title: what it is.
        n_experts: how many.
        n_cells: cells that both have.
        val: task -> relative change of the validation MAE, mean over cells.
        test: task -> the same of the test MAE.
    """

    title: str
    n_experts: int
    n_cells: int
    val: Mapping[str, float]
    test: Mapping[str, float]


def compare(results: Sequence[Result], reference: Sequence[Result], *, title: str) -> Comparison:
    """Compare the cells of one method with those of the reference method on the same tasks and splits.

    Raises:
        ValueError: the two have no cell in common.
    """
    known = {(r["task"], r["split"], r["seed"]): r for r in reference if is_finished(r) and not r.get("n_labels")}
    changes: dict[str, dict[str, list[float]]] = {"val_mae": {}, "test_mae": {}}
    n_cells = 0
    for result in filter(is_finished, results):
        other = known.get((result["task"], result["split"], result["seed"]))
        if other is None or result.get("n_labels"):
            continue
        n_cells += 1
        for name, of_task in changes.items():
            of_task.setdefault(result["task"], []).append(result[name] / other[name] - 1)
    if not n_cells:
        raise ValueError(f"{title}: no cell is also one of {REFERENCE}")
    val, test = ({task: fmean(values) for task, values in of_task.items()} for of_task in changes.values())
    return Comparison(title, len(results[0]["experts"]), n_cells, val, test)


def matbench(results: Sequence[Result], reference: Sequence[Result], *, cards: TaskCards) -> list[list[str]]:
    """Test MAE of Matbench's tasks, mean over all folds, with sets of experts and with the reference.

    Args:
        results: of sets of experts.
        reference: of the reference method.
        cards: say which tasks are Matbench's.

    Returns:
        Task, set of experts, both MAEs, and the relative change, for all that have each fold.
    """
    scores = {key: one for key, one in score([*results, *reference]).items() if one.complete and not key.n_labels}
    rows = []
    for key in sorted(scores):
        beside = scores.get(Key(key.task, REFERENCE))
        if key.task in cards.matbench and key.method != REFERENCE and beside is not None:
            mae, unit = scores[key].mean, cards.unit(key.task)
            task = f"`{key.task}`, {unit}" if unit else f"`{key.task}`"
            rows.append([task, f"`{key.method}`", f"{mae:.4g}", f"{beside.mean:.4g}", f"{mae / beside.mean - 1:+.1%}"])
    return rows


def build(
    found: Mapping[str, Comparison],
    *,
    seconds: Mapping[str, float],
    of_matbench: Sequence[Sequence[str]],
    folder: Path,
) -> Document:
    """The tables, errors against seconds, and the curve of the hub's growth, where there are any.

    Args:
        found: method -> comparison.
        seconds: method -> seconds a crystal, the reference's too; empty where it was not measured.
        of_matbench: rows of `matbench`.
        folder: of the figures.
    """
    document = Document("Families of experts")
    document.add(
        f"Change of the MAE against `{REFERENCE}`, mean over the tasks, on the cells that both have; above zero the "
        "default is better. Sets of experts are chosen by the validation column. Time is that of embedding crystals of "
        f"eight atoms on one core, over that of `{REFERENCE}`."
    )
    rows = []
    for name, one in found.items():
        better = f"{sum(change > 0 for change in one.test.values())}/{len(one.test)}"
        changes = _percent(one.val), _percent(one.test)
        cost = f"{seconds[name] / seconds[REFERENCE]:.2g}" if {name, REFERENCE} <= {*seconds} else ""
        rows.append([f"`{name}`", one.title, str(one.n_experts), cost, str(one.n_cells), *changes, better])
    header = ["experts", "what", "number", "time", "cells", "validation", "test", "default better on"]
    document.add(Table(header, rows, text=["what"]))
    if {REFERENCE, *found} <= {*seconds}:
        figure = folder / "time.png"
        known = {REFERENCE: (1.0, 0.0)}
        for name, one in found.items():
            known[name] = seconds[name] / seconds[REFERENCE], fmean(one.val.values())
        figures.errors_by_time(known, reference=REFERENCE, path=figure)
        caption = (
            f"Change of the validation MAE, each on the cells that it has, against the time of a crystal, over that of "
            f"`{REFERENCE}` ({1000 * seconds[REFERENCE]:.0f} ms in this run)."
        )
        document.add((2, "Error against time"), Picture(figure, caption))
    tasks = sorted({task for one in found.values() for task in one.test})
    by_task = [[f"`{t}`", *(f"{one.test[t]:+.1%}" if t in one.test else "" for one in found.values())] for t in tasks]
    document.add((2, "Test MAE by task"), Table(["task", *found], by_task))
    if of_matbench:
        header = ["task", "experts", "test MAE", f"`{REFERENCE}`", "change"]
        document.add((2, "Matbench"), Table(header, [list(row) for row in of_matbench], text=["experts"]))
    growing = sorted((one for name, one in found.items() if name.startswith("hub-")), key=lambda one: one.n_experts)
    if growing:
        figure = folder / "growth.png"
        n_all = len(load_method(REFERENCE).experts)
        counts = [one.n_experts for one in growing] + [n_all]
        figures.growth(
            counts,
            {part: [1 + fmean(getattr(one, part).values()) for one in growing] + [1.0] for part in ("val", "test")},
            path=figure,
        )
        caption = f"Mean MAE over that of all {n_all} default experts, which join in one random order."
        document.add((2, "Growth of the hub"), Picture(figure, caption))
    return document


def _percent(changes: Mapping[str, float]) -> str:
    return f"{fmean(changes.values()):+.1%}"
