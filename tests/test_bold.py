"""What is set in bold: only what is lower beyond the error of the crystals that were tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_results import result, some_results, table_row

from benchmarks.reports.comparisons import clearly_below, clearly_lower
from benchmarks.reports.labels import common_errors
from benchmarks.reports.mae_tables import mae_table, standing_out
from benchmarks.reports.report import build, gather
from moe_mat.tasks import TaskCards

CARDS = TaskCards()
TASK = "mp_phonons"  # MoE-(18) 0.0996, MoMa (Full) 0.0484
N_CRYSTALS = 100


def errors(mean: float, *, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """Errors ``[n]`` of exactly this mean."""
    values = np.random.default_rng(seed).uniform(1 - spread, 1 + spread, size=N_CRYSTALS)
    return mean * values / values.mean()


def cells(method: str, values: np.ndarray, *, splits: int = 5, task: str = TASK) -> list[dict[str, Any]]:
    arrays = {"ids": [f"c{row}" for row in range(len(values))], "targets": [0.0] * len(values)}
    arrays["predictions"] = values.tolist()
    return [result(task, method, split, float(values.mean()), **arrays) for split in range(splits)]


def best(*results: list[dict[str, Any]], theirs: dict[str, float]) -> str | None:
    found = gather([one for several in results for one in several], cards=CARDS)
    ours = {key.method: score.mean for key, score in found.scores.items()}
    return standing_out(found, TASK, theirs, ours)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (0.044, {"A": 0.0484}, "moe"),
        (0.048, {"A": 0.0484}, None),  # within the interval
        (0.049, {"A": 0.0484}, None),
        (0.060, {"A": 0.0484}, "A"),
        (0.044, {}, "moe"),
    ],
)
def test_against_published_numbers_the_interval_of_ours_decides(
    ours: float, theirs: dict[str, float], expected: str | None
) -> None:
    assert best(cells("moe", errors(ours)), cells("rf-magpie", errors(0.08, seed=1)), theirs=theirs) == expected


def test_between_our_methods_the_interval_of_the_difference_decides() -> None:
    near, far = errors(0.0405, spread=0.9, seed=1), errors(0.0405, spread=0.9)
    ours = cells("moe", errors(0.040, spread=0.9))
    assert best(ours, cells("concat", near), theirs={}) is None
    # As far apart in the mean, but crystal by crystal.
    assert best(ours, cells("concat", far), theirs={}) == "moe"
    # A variant of moe takes nothing from it.
    assert best(ours, cells("moe-strict", near), cells("concat", far), theirs={}) == "moe"


def test_without_predictions_nothing_stands_out(tmp_path: Path) -> None:
    page = build(some_results(), [], cards=CARDS, reference=None, figures=tmp_path).first.markdown(tmp_path)
    assert "**" not in "".join(table_row(page, "## Test MAE by task", "Last phonon DOS peak"))


def test_clearly_lower_counts_by_the_same_rule() -> None:
    given = [*cells("moe", errors(0.045)), *cells("concat", errors(0.047, seed=3, spread=0.9))]
    found = gather([*given, *cells("rf-magpie", errors(0.09))], cards=CARDS)
    assert clearly_below(found, "moe", "MoMa (Full)") == [TASK]
    assert clearly_below(found, "concat", "MoMa (Full)") == []
    assert clearly_lower(found, "moe", "rf-magpie") == [TASK]
    assert clearly_lower(found, "moe", "concat") == []


def test_a_method_that_lacks_a_split_is_nowhere(tmp_path: Path) -> None:
    results = [*cells("moe", errors(0.045)), *cells("rf-magpie", errors(0.09)), *cells("stl", errors(0.01), splits=4)]
    report = build(results, [], cards=CARDS, reference=None, figures=tmp_path)
    pages = {name: page.markdown(tmp_path) for name, page in report.appendices.items()}
    assert [name for name, page in pages.items() if "stl" in page] == ["missing"]
    assert "stl" not in report.first.markdown(tmp_path)


def test_the_table_says_what_each_method_learned_from() -> None:
    found = gather([*cells("moe", errors(0.045)), *cells("stl", errors(0.1))], cards=CARDS)
    rows = mae_table(found, [TASK], ["MoE-(18)"], ["moe", "stl"]).rows
    assert rows[0] == ["learned from", "as published", "train+val", "train"]
    assert rows[1][2].startswith("**0.0450 [0.04")


def test_errors_that_all_methods_share() -> None:
    values = {name: errors(0.1, seed=seed) for seed, name in enumerate(("moe", "concat"))}
    values["moe"][3] = values["concat"][3] = 2.0
    values["moe"][5] = 2.0
    found = gather([one for name, of_one in values.items() for one in cells(name, of_one)], cards=CARDS)
    ratios = common_errors({key.method: one for key, one in found.errors.items()})
    assert next(iter(ratios)) == "c3"
    assert ratios["c3"] == pytest.approx(2 / values["moe"].mean())
    assert ratios["c5"] < 1.5
