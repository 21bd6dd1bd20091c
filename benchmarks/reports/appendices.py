"""The appendices of a report: what they are called, and what writes each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.reports.by_task import all_methods
from benchmarks.reports.comparisons import paired_differences, published_methods
from benchmarks.reports.document import Document
from benchmarks.reports.errors import error_tables
from benchmarks.reports.few_labels import few_shot, learning_curves
from benchmarks.reports.findings import Findings
from benchmarks.reports.labels import suspect_labels
from benchmarks.reports.leakage import leak_free, leakage
from benchmarks.reports.matbench import matbench
from benchmarks.reports.modules import modular
from benchmarks.reports.predictions import gates, parity
from benchmarks.reports.provenance import cost, fidelity, gaps
from benchmarks.reports.seeds import seeds
from benchmarks.reports.uncertainty import uncertainty


@dataclass(frozen=True, slots=True)
class Appendix:
    """A page behind the first one.

    Attributes:
        name: of its file, and for links to it.
        title: with ``{reference}`` for the method that the others are compared with.
        what: it holds, in a line for the first page.
        parts: functions that write it; a page on which they write nothing is left out.
    """

    name: str
    title: str
    what: str
    parts: tuple[Callable[[Findings, Document], None], ...]

    def write(self, found: Findings) -> Document:
        """The page."""
        document = Document(self.title.format(reference=f"`{found.reference}`"))
        for part in self.parts:
            part(found, document)
        return document


APPENDICES = (
    Appendix("methods", "Test MAE by task", "all methods but modules, beside all published numbers", (all_methods,)),
    Appendix(
        "published",
        "Against the published methods",
        "wins, clear wins and mean relative change of every method against each of them",
        (published_methods,),
    ),
    Appendix(
        "paired",
        "{reference} against the other methods, paired",
        "differences on the same splits and what they mean",
        (paired_differences,),
    ),
    Appendix(
        "errors",
        "What the MAE hides",
        "intervals, median errors, R², and MAEs without the largest errors",
        (error_tables,),
    ),
    Appendix("seeds", "Seeds", "how far errors depend on the seed, and what a mean over seeds is worth", (seeds,)),
    Appendix("labels", "Errors that all methods share", "suspect labels, which are kept", (suspect_labels,)),
    Appendix("modules", "Modules", "what composed modules add to their backbone, by task", (modular,)),
    Appendix(
        "leak-free",
        "Without what experts have seen",
        "the numbers by task without the test rows that experts know",
        (leak_free,),
    ),
    Appendix("leakage", "Leakage audit", "which experts have seen how much of each task", (leakage,)),
    Appendix("matbench", "Matbench", "our methods among the entries of the leaderboard", (matbench,)),
    Appendix("uncertainty", "Intervals", "whether intervals hold what they promise, by task", (uncertainty,)),
    Appendix("gates", "Gate weights", "which experts each task listens to, a picture a method", (gates,)),
    Appendix("parity", "Parity", "predicted against true values, a panel a task", (parity,)),
    Appendix(
        "few-labels", "Few labels", "errors with tens and hundreds of labels, and curves", (few_shot, learning_curves)
    ),
    Appendix("cost", "Cost", "seconds and memory of every method", (cost,)),
    Appendix(
        "rows",
        "Where rows and splits come from",
        "how faithful each task is to the published one; commits of the results",
        (fidelity,),
    ),
    Appendix("missing", "Missing cells", "what was not run, failed, or could not be read", (gaps,)),
)
