"""How much choices owe to the tasks on which they were made: ``python -m benchmarks.optimism --help``.

The alternatives are the methods of a folder of cells (sets of experts, heads, settings), beside ``moe``. Choosing among
them is redone on half of the tasks and scored on the other half; `benchmarks.reports.optimism` says how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells.results import RESULTS, read_results
from benchmarks.reports.families import REFERENCE
from benchmarks.reports.optimism import collect
from benchmarks.reports.optimism_page import build
from moe_mat.files import write_text
from moe_mat.tasks import TaskCards

FAMILIES = Path(__file__).parent / "families"


def _parser() -> argparse.ArgumentParser:
    description = "Redo the choice among alternatives on half of the tasks, and score it on the other half."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimism", description=description)
    parser.add_argument("--results", type=Path, default=FAMILIES, help="folder with the results of the alternatives")
    parser.add_argument("--reference", type=Path, default=RESULTS, help=f"folder with the results of {REFERENCE}")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="METHOD", help="methods that are no alternatives")
    parser.add_argument("--seed", type=int, default=0, help="of the halvings")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write optimism.md beside the alternatives; returns 1 when there is nothing to choose."""
    options = _parser().parse_args(arguments)
    results, errors = read_results(options.results)
    reference, more = read_results(options.reference)
    for error in [*errors, *more]:
        sys.stderr.write(f"not used: {error}\n")
    methods = {result["method"] for result in results}
    results = [result for result in results if result["method"] not in (REFERENCE, *options.leave_out)]
    results += [result for result in reference if result["method"] == REFERENCE]
    try:
        if unknown := sorted(set(options.leave_out) - methods):
            raise ValueError(f"there is no result of {', '.join(unknown)} to leave out")
        found = collect(results, REFERENCE)
        document, sentence = build(found, TaskCards(), seed=options.seed, by_hand=options.leave_out)
    except ValueError as error:
        sys.stderr.write(f"{options.results}: {error}\n")
        return 1
    path = options.results / "optimism.md"
    write_text(path, document.markdown(path.parent))
    sys.stdout.write(f"{sentence}\n{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
