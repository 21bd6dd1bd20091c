"""What is predicted from formulas alone, beside what structures give: ``python -m benchmarks.compositions --help``.

The methods are the cards in benchmarks/methods/compositions, and a random forest; the tasks are the two measured ones.
The sweep runs the cells into benchmarks/compositions::

    python -m benchmarks.sweep --output benchmarks/compositions --tasks expt_bandgap expt_eform \
        --methods rf-magpie benchmarks/methods/compositions/*.yaml

and the table is made of them, with those of the methods that see structures from benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells.results import RESULTS, read_results
from benchmarks.reports.compositions import build
from moe_mat.files import write_text

COMPOSITIONS = Path(__file__).parent / "compositions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; returns 1 when there is nothing to put into it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compositions", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=COMPOSITIONS, help="folder with the results on formulas")
    parser.add_argument("--reference", type=Path, default=RESULTS, help="folder with the results on structures")
    options = parser.parse_args(arguments)
    results, errors = read_results(options.results)
    reference, more = read_results(options.reference)
    for error in [*errors, *more]:
        sys.stderr.write(f"not used: {error}\n")
    try:
        document = build(results, reference)
    except ValueError as error:
        sys.stderr.write(f"{options.results}: {error}\n")
        return 1
    path = options.results / "compositions.md"
    write_text(path, document.markdown(path.parent))
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
