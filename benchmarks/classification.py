"""Classification against forests and boosted trees: ``python -m benchmarks.classification --help``.

Each cell, a task, a method and a split, is written when it is there, so that a run that is interrupted goes on. The
table in docs/classification.md is what ``--table`` prints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cells.worker import provenance
from benchmarks.measurements.class_methods import METHODS, ClassProblem
from benchmarks.measurements.class_tasks import N_SPLITS, TASKS, ClassData, ClassTask
from benchmarks.measurements.tools import say
from moe_mat.files import data_folder, write_text
from moe_mat.mixture import judge_classes

RESULTS = Path(__file__).parent / "classification"
# Of the table, and whether more is better.
SHOWN = {
    "log_loss": ("log loss", False),
    "roc_auc": ("ROC AUC", True),
    "balanced_accuracy": ("balanced accuracy", True),
}
Scores = dict[str, dict[str, float]]  # of each split, by name


def run(task: ClassTask, method: str, split: int, *, data: Path, output: Path) -> None:
    """Compute a cell that is not there yet."""
    path = output / f"{task.name}-{method}.json"
    content: dict[str, Any] = {"task": task.name, "title": task.title, "classes": task.classes, "method": method}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
    cells = content.setdefault("cells", {})
    if str(split) in cells:
        return
    cells[str(split)] = _cell(task, method, _read(task, data), split)
    write_text(path, json.dumps(content, indent=1) + "\n")
    say(f"{task.name} {method} {split}: {cells[str(split)]['scores']}")


@cache
def _read(task: ClassTask, data: Path) -> ClassData:
    return task.read(data)


def _cell(task: ClassTask, method: str, crystals: ClassData, number: int) -> dict[str, Any]:
    split, start = crystals.splits[number], time.process_time()
    train, val, (test, true) = map(crystals.part, split)
    problem = ClassProblem(train, val, test, len(task.classes), task.experts, seed=number)
    probabilities, chosen = METHODS[method](problem)
    seconds = time.process_time() - start
    judged = judge_classes(true, probabilities)
    return {
        "rows": {part: len(rows) for part, rows in split._asdict().items()},
        "shares": [round(float((true == one).mean()), 4) for one in range(len(task.classes))],
        "scores": {name: round(value, 5) for name, value in judged.scores.items()},
        "reliability": judged.reliability.round(4).to_dict("list"),
        **chosen,
        "seed": number,
        "processor_seconds": round(seconds, 1),
        **provenance(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(folder: Path) -> str:
    """Markdown: of each task and method the mean over the splits that all methods have, and its standard deviation."""
    names = ["task", "splits", "method", *(name for name, _ in SHOWN.values())]
    lines = [f"| {' | '.join(names)} |", "|---|---:|---|" + "---:|" * len(SHOWN)]
    for task in TASKS:
        found = {method: _scores(folder / f"{task.name}-{method}.json") for method in METHODS}
        splits = sorted(set.intersection(*(set(of) for of in found.values())))
        if not splits:
            continue
        best = {name: _best(found, name, splits, more=more) for name, (_, more) in SHOWN.items()}
        for row, (method, scores) in enumerate(found.items()):
            texts = {name: _text([scores[split][name] for split in splits]) for name in SHOWN}
            cells = [f"**{text}**" if best[name] == method else text for name, text in texts.items()]
            beginning = ["", ""] if row else [task.title, str(len(splits))]
            lines.append(f"| {' | '.join([*beginning, f'`{method}`', *cells])} |")
    return "\n".join(lines) + "\n"


def _best(found: Mapping[str, Scores], name: str, splits: Sequence[str], *, more: bool) -> str:
    means = {method: float(np.mean([scores[split][name] for split in splits])) for method, scores in found.items()}
    return (max if more else min)(means, key=lambda method: means[method])


def _text(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _scores(path: Path) -> Scores:
    if not path.exists():
        return {}
    return {split: cell["scores"] for split, cell in json.loads(path.read_text(encoding="utf-8"))["cells"].items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute the cells that are missing, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.classification", description=str(__doc__).split(":")[0] + "."
    )
    names = [task.name for task in TASKS]
    parser.add_argument("--data", type=Path, default=None, help="folder of prepared data; by default MOE_MAT_DATA")
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--splits", nargs="+", type=int, choices=range(N_SPLITS), default=list(range(N_SPLITS)))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON files, which is gone on with")
    parser.add_argument("--table", action="store_true", help="print the table of what is there, and compute nothing")
    options = parser.parse_args(arguments)
    if not options.table:
        torch.set_num_threads(1)
        tasks = [task for task in TASKS if task.name in options.tasks]
        for split, task, method in product(options.splits, tasks, options.methods):
            run(task, method, split, data=options.data or data_folder(), output=options.output)
    sys.stdout.write(table(options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
