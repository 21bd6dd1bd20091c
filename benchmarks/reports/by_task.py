"""The appendix with every method on every task."""

from __future__ import annotations

from benchmarks.reports.document import Document, Picture
from benchmarks.reports.findings import GOALS, Findings
from benchmarks.reports.mae_tables import BOLD, draw_relative, mae_table
from benchmarks.reports.modules import is_modular
from benchmarks.reports.scores import PUBLISHED


def all_methods(found: Findings, document: Document) -> None:
    """A row a task, published columns first, and the same as a picture; modules are compared elsewhere."""
    own = found.own_tasks
    comparable = [task for task in own if found.cards.of(task).comparable]
    methods = [method for method in found.methods_on(own) if not is_modular(method)]
    if any(map(is_modular, found.methods)):
        document.add("Methods that compose modules are in [an appendix of their own](page:modules).")
    if comparable:
        document.add(f"{BOLD} Published columns are means over the same splits.")
        document.add(mae_table(found, comparable, PUBLISHED, methods))
        if drawn := [method for method in methods if method != "median"]:
            path = found.figures / "relative_all.png"
            draw_relative(found, comparable, drawn, path)
            document.add(
                Picture(path, f"Test MAE relative to {GOALS[0]}; left of the line is better", of_markdown=True)
            )
    if others := [task for task in own if task not in comparable]:
        document.add((2, "Tasks without comparable published numbers"), mae_table(found, others, (), methods))
