"""The report of some results: section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cells.audits import Audit
from benchmarks.cells.results import Result
from benchmarks.reports.document import Document
from benchmarks.reports.findings import Findings, in_order
from benchmarks.reports.scores import score, with_best_transfer
from benchmarks.reports.sections import SECTIONS
from moe_mat.tasks import TaskCards


def build(
    results: Sequence[Result],
    problems: Sequence[str],
    *,
    cards: TaskCards,
    reference: str | None,
    figures: Path,
    audits: Mapping[str, Audit] | None = None,
) -> Document:
    """The report of some results.

    Args:
        results: finished and failed.
        problems: what is wrong with files that are not among them.
        cards: of the tasks.
        reference: method that the others are compared with; by default ``moe``, or else the last one.
        figures: folder for the pictures.
        audits: task -> what experts have seen of it.

    Raises:
        ValueError: there is no finished result, or none of the reference method.
    """
    kept = with_best_transfer(results)
    scores = score(kept)
    methods = sorted({key.method for key in scores}, key=in_order)
    if not methods:
        raise ValueError("there is no finished result to report")
    if reference is not None and reference not in methods:
        raise ValueError(f"there is no result of {reference}; there is {', '.join(methods)}")
    reference = reference or ("moe" if "moe" in methods else methods[-1])
    document = Document("Benchmark report")
    for section in SECTIONS:
        section(Findings(cards, kept, problems, scores, methods, reference, figures, audits or {}), document)
    return document
