"""From results to tables and figures: ``python -m benchmarks.report --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cells.audits import read_audits
from benchmarks.cells.results import RESULTS, Result, read_results
from benchmarks.reports.findings import file_name
from benchmarks.reports.report import build
from benchmarks.reports.submissions import matbench_record, write_jarvis
from moe_mat.files import task_cards_folder, write_text
from moe_mat.tasks import TaskCards


def _write_submissions(cards: TaskCards, results: Sequence[Result], folder: Path) -> None:
    for method in sorted({result["method"] for result in results}):
        own = folder / file_name(method)
        record = matbench_record(cards, results, method)
        if record is not None:
            own.mkdir(parents=True, exist_ok=True)
            write_text(own / "matbench_results.json", json.dumps(record))
        files = write_jarvis(results, method, own / "jarvis_leaderboard")
        matbench = "a Matbench record, " if record is not None else ""
        sys.stdout.write(f"{own}: {matbench}{len(files)} files for jarvis_leaderboard\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="Tables and figures of results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results")
    parser.add_argument(
        "--output",
        type=Path,
        help="a .md file, with its appendices in a folder beside it, or a .html file; by default both by the results",
    )
    parser.add_argument("--reference", help="method that the others are compared with; by default moe")
    parser.add_argument("--submissions", type=Path, help="folder for Matbench records and jarvis_leaderboard files")
    parser.add_argument("--cards", type=Path, default=task_cards_folder(), help="folder of other task cards")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report; returns 1 when there is nothing to report."""
    options = _parser().parse_args(arguments)
    cards = TaskCards(options.cards.resolve())
    outputs = [options.output] if options.output else [options.results / f"report.{kind}" for kind in ("md", "html")]
    results, errors = read_results(options.results)
    known = {*cards.names(), *cards.matbench}
    problems = [str(error) for error in errors]
    problems += [f"{name}: results of a task that has no card" for name in sorted({r["task"] for r in results} - known)]
    results = [result for result in results if result["task"] in known]
    for problem in problems:
        sys.stderr.write(f"not used: {problem}\n")
    try:
        if outputs[0].suffix not in (".md", ".html"):
            raise ValueError(f"{outputs[0]}: a report is a .md or .html file")
        with TemporaryDirectory() as nowhere:
            # An HTML file has its pictures in itself.
            figures = outputs[0].with_suffix("") / "figures" if outputs[0].suffix == ".md" else Path(nowhere)
            audits = read_audits(options.results)
            report = build(results, problems, cards=cards, reference=options.reference, figures=figures, audits=audits)
            for path in outputs:
                (report.write_html if path.suffix == ".html" else report.write_markdown)(path)
                sys.stdout.write(f"{path}\n")
    except ValueError as error:
        sys.stderr.write(f"{options.results}: {error}\n")
        return 1
    if options.submissions is not None:
        _write_submissions(cards, results, options.submissions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
