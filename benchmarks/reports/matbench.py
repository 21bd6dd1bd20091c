"""The appendix on Matbench: our methods among the entries of its leaderboard."""

from __future__ import annotations

from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, with_interval
from benchmarks.reports.scores import Key


def matbench(found: Findings, document: Document) -> None:
    """Our methods among the entries of the leaderboard."""
    for task in found.tasks:
        card = found.cards.of(task)
        if task == card.name or card.matbench is None:
            continue
        if not document.blocks:
            document.add("Matbench v0.1: its five folds, raw units, mean over folds of the test MAE [95 % interval].")
        ours = {m: found.scores[Key(task, m)] for m in found.methods if Key(task, m) in found.scores}
        lines = [(one.mean, f"`{m}`", with_interval(one.mean, found.interval(task, m))) for m, one in ours.items()]
        lines += [(mae, method, f"{mae:.4g}") for method, mae in card.matbench.mae.items()]
        unit = f" ({card.matbench.unit})" if card.matbench.unit != "1" else ""
        rows = [[method, text] for _, method, text in sorted(lines)]
        document.add((2, f"{task}{unit}"), Table(["method", "MAE"], rows), f"Rows: {card.matbench.rows}.")
