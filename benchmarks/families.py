"""What each family of experts adds, and how errors fall as the hub grows: ``python -m benchmarks.families --help``.

The methods are the cards in benchmarks/methods/families, run by the sweep into benchmarks/families, and the tier
``light`` of the benchmark itself. Each is compared with ``moe`` on the cells that both have, and by the time that
``python -m benchmarks.speed sets`` has measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.cells.results import RESULTS, is_finished, read_results
from benchmarks.methods.cards import CARDS
from benchmarks.reports.families import REFERENCE, build, compare, matbench
from moe_mat.files import write_text
from moe_mat.tasks import TaskCards

FAMILIES = Path(__file__).parent / "families"
SPEED = Path(__file__).parent / "speed" / "sets.json"
TIER = "moe-light"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables; returns 1 when there is nothing to compare."""
    description = "What each family of experts adds."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=description)
    parser.add_argument("--results", type=Path, default=FAMILIES, help="folder with the results of the sets of experts")
    parser.add_argument("--reference", type=Path, default=RESULTS, help=f"folder with the results of {REFERENCE}")
    parser.add_argument("--speed", type=Path, default=SPEED, help="what `benchmarks.speed sets` has measured")
    options = parser.parse_args(arguments)
    results, errors = read_results(options.results)
    reference, more = read_results(options.reference)
    for error in [*errors, *more]:
        sys.stderr.write(f"not used: {error}\n")
    # Titles alone: the experts of a card need not all be there to read what they gave.
    cards = [CARDS / f"{TIER}.yaml", *sorted((CARDS / "families").glob("*.yaml"))]
    titles = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["title"] for path in cards}
    results += [result for result in reference if result["method"] == TIER]
    reference = [result for result in reference if result["method"] == REFERENCE]
    tasks = TaskCards()
    of_matbench = matbench([r for r in results if r["method"] in titles], reference, cards=tasks)
    results = [result for result in results if result["task"] not in tasks.matbench]
    of_method = {name: [r for r in results if r["method"] == name and is_finished(r)] for name in titles}
    try:
        found = {name: compare(own, reference, title=titles[name]) for name, own in of_method.items() if own}
        if not found:
            raise ValueError("there is no result: run the sweep with --methods benchmarks/methods/families/<name>.yaml")
    except ValueError as error:
        sys.stderr.write(f"{options.results}: {error}\n")
        return 1
    seconds = json.loads(options.speed.read_text(encoding="utf-8"))["seconds"] if options.speed.exists() else {}
    path = options.results / "families.md"
    document = build(found, seconds=seconds, of_matbench=of_matbench, folder=options.results)
    write_text(path, document.markdown(path.parent))
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
