"""What each family of experts adds, and how errors fall as the hub grows: ``python -m benchmarks.families --help``.

The methods are the cards in benchmarks/methods/families, run by the sweep into benchmarks/families. Each is compared
with ``moe`` on the cells that both have.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import yaml

from benchmarks import figures
from benchmarks.cells import Result, is_finished, read_results
from benchmarks.document import Document, Picture, Table
from benchmarks.methods import CARDS, load_method
from benchmarks.sweep import RESULTS

FAMILIES = Path(__file__).parent / "families"
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


def build(found: Mapping[str, Comparison], *, figure: Path) -> Document:
    """The tables, and the curve of the hub's growth where there is one.

    Args:
        found: method -> comparison.
        figure: PNG file of the curve.
    """
    document = Document("Families of experts")
    document.add(
        f"Change of the MAE against `{REFERENCE}`, mean over the tasks, on the cells that both have; above zero the "
        "default is better. Sets of experts are chosen by the validation column."
    )
    rows = []
    for name, one in found.items():
        better = f"{sum(change > 0 for change in one.test.values())}/{len(one.test)}"
        changes = _percent(one.val), _percent(one.test)
        rows.append([f"`{name}`", one.title, str(one.n_experts), str(one.n_cells), *changes, better])
    header = ["experts", "what", "number", "cells", "validation", "test", "default better on"]
    document.add(Table(header, rows, text=["what"]))
    tasks = sorted({task for one in found.values() for task in one.test})
    by_task = [[f"`{t}`", *(f"{one.test[t]:+.1%}" if t in one.test else "" for one in found.values())] for t in tasks]
    document.add((2, "Test MAE by task"), Table(["task", *found], by_task))
    growing = sorted((one for name, one in found.items() if name.startswith("hub-")), key=lambda one: one.n_experts)
    if growing:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables; returns 1 when there is nothing to compare."""
    description = "What each family of experts adds."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=description)
    parser.add_argument("--results", type=Path, default=FAMILIES, help="folder with the results of the sets of experts")
    parser.add_argument("--reference", type=Path, default=RESULTS, help=f"folder with the results of {REFERENCE}")
    options = parser.parse_args(arguments)
    results, errors = read_results(options.results)
    reference, more = read_results(options.reference)
    for error in [*errors, *more]:
        sys.stderr.write(f"not used: {error}\n")
    # Titles alone: the experts of a card need not all be there to read what they gave.
    cards = sorted((CARDS / "families").glob("*.yaml"))
    titles = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["title"] for path in cards}
    of_method = {name: [r for r in results if r["method"] == name and is_finished(r)] for name in titles}
    reference = [result for result in reference if result["method"] == REFERENCE]
    try:
        found = {name: compare(own, reference, title=titles[name]) for name, own in of_method.items() if own}
        if not found:
            raise ValueError("there is no result: run the sweep with --methods benchmarks/methods/families/<name>.yaml")
    except ValueError as error:
        sys.stderr.write(f"{options.results}: {error}\n")
        return 1
    path = options.results / "families.md"
    path.write_text(build(found, figure=options.results / "growth.png").markdown(path.parent), encoding="utf-8")
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
