"""What a million crystals cost, as tables and a picture: ``python -m benchmarks.cost``.

From the files of `benchmarks.speed`: ``experts`` and ``atoms`` of the tiers, ``scaling``, and those of
`benchmarks.measurements.many_labels`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reports.cost import Tier, build
from moe_mat.files import write_text

RESULTS = Path(__file__).parent / "speed"
TIERS = ("light", "default")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write cost.md and its picture beside what was measured; returns 1 when something was not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="What a million crystals cost.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    folder = parser.parse_args(arguments).results
    try:
        tiers = {
            name: Tier(_read(folder / name / "experts.json"), _read(folder / name / "atoms.json")) for name in TIERS
        }
        scaling, labels = _read(folder / "scaling.json"), _read(folder / "many_labels.json")
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename} is not there: python -m benchmarks.speed --help says how it is measured\n")
        return 1
    document = build(tiers, scaling=scaling, labels=labels, figure=folder / "cost.png")
    path = folder / "cost.md"
    write_text(path, document.markdown(path.parent))
    sys.stdout.write(f"{path}\n")
    return 0


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
