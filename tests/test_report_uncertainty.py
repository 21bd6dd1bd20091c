"""The page on intervals: what it counts, and what it leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from toy_results import result, table_row

from benchmarks.reports.report import build
from benchmarks.reports.uncertainty import pooled
from moe_mat.mixture import CRPS_LEVELS, LEVELS, judge
from moe_mat.tasks import TaskCards


def cell(task: str, split: int, *, widths_known: bool, method: str = "moe") -> dict[str, Any]:
    """Gaussian errors of two sizes, with exact intervals, or with equally wide ones."""
    random = np.random.default_rng(split)
    scale = np.where(np.arange(400) % 2, 0.2, 2.0)
    true, predicted = scale * random.normal(size=400), np.zeros(400)
    std = scale if widths_known else np.full(400, 1.4)
    half = std[:, None] * norm.ppf(0.5 + np.array([*LEVELS, *CRPS_LEVELS]) / 2)
    judged = judge(true, predicted, std, -half, half)
    intervals = {
        f"{100 * level:g}": [(-half[:, number]).tolist(), half[:, number].tolist()]
        for number, level in enumerate(LEVELS)
    }
    known = {"targets": true.tolist(), "predictions": predicted.tolist(), "std": std.tolist(), "intervals": intervals}
    mae = float(np.abs(true).mean())
    ids = [f"crystal {row}" for row in range(400)]
    scores = {name: value for name, value in judged.scores.items() if np.isfinite(value)}
    return result(task, method, split, mae, uncertainty=scores, ids=ids, **known)


def test_widths_that_tell_score_below_the_best_constant_ones_and_equal_ones_do_not() -> None:
    told, untold = (
        pooled([cell("mp_phonons", split, widths_known=known) for split in range(5)]) for known in (True, False)
    )
    assert told.n == 2000
    assert told.coverage == pytest.approx(LEVELS, abs=0.02)
    assert told.score < 0.8
    assert told.crps < 0.9
    assert told.squared_z == pytest.approx(1, abs=0.1)
    assert told.rank > 0.5
    assert untold.score >= 1
    assert untold.crps >= 0.99


def test_only_tasks_with_all_splits_are_counted(tmp_path: Path) -> None:
    results = [cell("mp_phonons", split, widths_known=True) for split in range(5)]
    results += [cell("mp_poisson_ratio", split, widths_known=True) for split in range(4)]
    results += [result("mp_phonons", "rf-magpie", split, 1.0) for split in range(5)]
    report = build(results, [], cards=TaskCards(), reference="moe", figures=tmp_path)
    text = report.appendices["uncertainty"].markdown(tmp_path)
    assert "hold 88 to 92 % of the test rows on 1 of 1 tasks" in text
    assert table_row(text, "## `moe`", "Last phonon")[1] == "2000"
    assert "Poisson" not in text
    assert "rf-magpie" not in text
