"""The appendices that are pictures: which experts each task listens to, and what the reference method predicts."""

from __future__ import annotations

from benchmarks.cells.results import Result, is_finished
from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture
from benchmarks.reports.findings import Findings, file_name
from benchmarks.reports.scores import gate_weights


def gates(found: Findings, document: Document) -> None:
    """Which experts each task listens to."""
    for method in found.methods:
        weights = gate_weights(found.results, method)
        for suffix, names in (("", found.cards.names()), (", Matbench", list(found.cards.matbench))):
            shown = {task: weights[task] for task in names if len(weights.get(task, ())) > 1}
            if shown:
                path = found.figures / f"gates_{file_name(method + suffix)}.png"
                figures.heat_map(shown, title=f"{method}{suffix}", cards=found.cards, path=path)
                document.add(
                    Picture(
                        path,
                        f"Gate weights of {method}{suffix}, mean over splits; each row sums to 1",
                        of_markdown=True,
                    )
                )


def parity(found: Findings, document: Document) -> None:
    """Predicted against true values of the reference method."""
    by_task: dict[str, list[Result]] = {}
    for result in found.results:
        whole = is_finished(result) and not result.get("n_labels") and "predictions" in result
        if whole and result["method"] == found.reference:
            by_task.setdefault(result["task"], []).append(result)
    if by_task:
        path = found.figures / f"parity_{file_name(found.reference)}.png"
        figures.parity({task: by_task[task] for task in found.tasks if task in by_task}, cards=found.cards, path=path)
        document.add(
            Picture(path, f"Predictions of {found.reference} for the test rows of all splits", of_markdown=True)
        )
