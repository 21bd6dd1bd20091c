"""The report of some results: a first page that is read, and appendices that are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells.audits import Audit
from benchmarks.cells.results import Result
from benchmarks.reports.appendices import APPENDICES
from benchmarks.reports.bootstrap import errors_of
from benchmarks.reports.complete import complete_results
from benchmarks.reports.document import Document
from benchmarks.reports.findings import Findings, in_order
from benchmarks.reports.first_page import first_page
from benchmarks.reports.page import page_of
from benchmarks.reports.scores import Key, score, with_best_transfer
from moe_mat.files import write_text
from moe_mat.tasks import N_SPLITS, TaskCards


@dataclass(frozen=True, slots=True)
class Report:
    """A first page, and what stands behind it.

    Attributes:
        found: what it is made from.
        first: the page to read.
        appendices: name -> page.
    """

    found: Findings
    first: Document
    appendices: Mapping[str, Document]

    def write_markdown(self, path: Path) -> None:
        """Write the first page, and the appendices into a folder beside it that has its name without the suffix."""
        folder = path.with_suffix("")
        write_text(path, self.first.markdown(path.parent, pages=f"{folder.name}/"))
        for name, page in self.appendices.items():
            back = f"An appendix of the [{self.first.title.lower()}](../{path.name})."
            write_text(folder / f"{name}.md", page.markdown(folder, above=back))

    def write_html(self, path: Path) -> None:
        """Write one file with everything in it, which draws its own plots; the appendices are folded."""
        write_text(path, page_of(self.found, self.first, self.appendices))


def gather(
    results: Sequence[Result],
    problems: Sequence[str] = (),
    *,
    cards: TaskCards,
    reference: str | None = None,
    figures: Path = Path(),
    audits: Mapping[str, Audit] | None = None,
) -> Findings:
    """What pages are made from; arguments and errors are those of `build`."""
    kept = with_best_transfer(complete_results(results))
    scores = score(kept)
    methods = sorted({key.method for key in scores}, key=in_order)
    if not methods:
        raise ValueError(f"there is no finished result to report: no method has all {N_SPLITS} splits of a task")
    if reference is not None and reference not in methods:
        raise ValueError(f"there is no result of {reference} with all splits; there is {', '.join(methods)}")
    reference = reference or ("moe" if "moe" in methods else methods[-1])
    by_key: dict[Key, list[Result]] = {}
    for result in kept:
        if not result.get("n_labels"):
            by_key.setdefault(Key(result["task"], result["method"]), []).append(result)
    errors = {key: found for key, of_key in by_key.items() if (found := errors_of(of_key)) is not None}
    return Findings(cards, kept, problems, scores, methods, reference, figures, audits or {}, results, errors)


def build(
    results: Sequence[Result],
    problems: Sequence[str],
    *,
    cards: TaskCards,
    reference: str | None,
    figures: Path,
    audits: Mapping[str, Audit] | None = None,
) -> Report:
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
    found = gather(results, problems, cards=cards, reference=reference, figures=figures, audits=audits)
    pages = {appendix.name: appendix.write(found) for appendix in APPENDICES}
    pages = {name: page for name, page in pages.items() if page.blocks}
    return Report(found, first_page(found, pages), pages)
