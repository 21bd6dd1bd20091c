"""The table of the classification benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.classification import METHODS, RESULTS, table

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_of_the_documentation_is_that_of_the_command() -> None:
    assert table(RESULTS) in (DOCS / "classification.md").read_text(encoding="utf-8")


def test_methods_are_compared_on_the_splits_that_all_of_them_have(tmp_path: Path) -> None:
    losses = {"moe": [0.2, 0.4, 9.0], "rf-magpie": [0.3, 0.5], "lightgbm": [0.4, 0.5]}
    assert losses.keys() == METHODS.keys()
    for method, of_method in losses.items():
        cells = {
            str(split): {"scores": {"log_loss": loss, "roc_auc": 1 - loss, "balanced_accuracy": 0.5}}
            for split, loss in enumerate(of_method)
        }
        (tmp_path / f"expt_metal-{method}.json").write_text(json.dumps({"cells": cells}))
    _, _, ours, theirs, _ = table(tmp_path).splitlines()
    assert ours.startswith("| Metal or not, measured | 2 | `moe` | **0.300 ± 0.141** | **0.700 ± 0.141** |")
    assert theirs.startswith("|  |  | `rf-magpie` | 0.400 ± 0.141 |")
