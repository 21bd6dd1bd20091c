"""The table of the classification benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from benchmarks.classification import METHODS, RESULTS, table
from benchmarks.measurements.class_tasks import ClassTask
from moe_mat.crystals import formula_groups, load_quickstart
from moe_mat.tasks import N_SPLITS

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


def test_a_task_without_published_splits_keeps_formulas_together(tmp_path: Path) -> None:
    structures, table = load_quickstart()
    columns = {
        "hardness": table["bulk_modulus"],
        "lattice_vectors": [one.lattice.matrix.tolist() for one in structures],
        "cartesian_site_positions": [one.cart_coords.tolist() for one in structures],
        "species_at_sites": [[site.specie.symbol for site in one] for one in structures],
    }
    pd.DataFrame(columns).iloc[[*range(40), *range(20)]].to_parquet(tmp_path / "own.parquet")
    task = ClassTask("own", "Soft or hard", "own.parquet", "hardness", ("soft", "hard"), (100.0,), ("magpie",))
    data = task.read(tmp_path)
    assert set(data.labels.tolist()) == {0, 1}
    assert len(data.splits) == N_SPLITS
    for split in data.splits:
        parts = [set(formula_groups(data.part(rows)[0]).tolist()) for rows in split]
        assert sum(map(len, split)) == 60
        assert len(set.union(*parts)) == sum(map(len, parts))
