"""The sections on few labels, on modules and on seeds."""

import numpy as np
import pytest
from toy_results import result, table_row

from benchmarks import report
from moe_mat.tasks import TaskCards

CARDS = TaskCards()
TASKS = ("mp_phonons", "mp_poisson_ratio")


@pytest.fixture
def written(tmp_path):
    def pages(results):
        found = report.build(results, [], cards=CARDS, reference="moe", figures=tmp_path)
        return {name: page.markdown(tmp_path) for name, page in found.appendices.items()}

    return pages


def test_few_labels_are_averaged_in_units_of_the_spread_over_tasks_that_all_methods_have(written):
    spread = {task: CARDS.load(task).evidence.std for task in TASKS}
    results = [
        result(task, method, 0, (factor + 0.1 * seed) * spread[task], seed=seed, n_labels=10)
        for task in TASKS
        for method, factor in (("moe", 0.4), ("rf-magpie", 0.8))
        for seed in range(2)
    ]
    results += [result(task, "moe", 0, 0.2 * spread[task]) for task in TASKS]
    # Splits without few labels: not to be compared.
    results += [result(task, "moe", split, 7.0) for task in TASKS for split in range(1, 5)]
    results.append(result("mp_eps_total", "moe", 0, 9.0, n_labels=10))  # rf-magpie has no such cell
    text = written(results)["few-labels"]
    assert table_row(text, "## Mean over tasks", "`moe`")[1:] == ["0.4500 ± 0.0707", "0.2000"]
    assert table_row(text, "## Mean over tasks", "`rf-magpie`")[1] == "0.8500 ± 0.0707"
    assert table_row(text, "## Mean over tasks", "MoMa (Full)")[1:] == ["0.5503", "0.1871"]
    assert "2 with 10 labels" in text


def test_modules_are_compared_with_their_backbone_and_with_other_weights(written):
    maes = {"moe": 0.05, "finetune": 0.10, "moma-full": 0.08, "moma-uniform-all": 0.16}
    results = [result("mp_phonons", method, split, mae) for method, mae in maes.items() for split in range(5)]
    weights = {"moma-frozen": {"a": 0.7, "b": 0.3}, "moma-gate": {"a": 0.2, "c": 0.8}}
    results += [
        result("mp_phonons", method, split, 0.2, gate_weights=gate)
        for method, gate in weights.items()
        for split in range(5)
    ]
    assert "moma-full" not in written(results)["methods"]
    text = written(results)["modules"]
    assert "`moma-full` against `finetune`: lower on 1 of 1 tasks, mean relative change -20.0%" in text
    assert table_row(text, "## Other weights", "`moma-uniform-all`")[1:4] == ["`moma-full`", "1/1", "-50.0%"]
    assert table_row(text, "## Do AMC", "Last phonon")[1:] == ["0.20", "`a`", "`c`"]


def test_seeds_are_told_apart_and_together(written):
    def cells(method, offsets):
        """Off by so much for each seed, everywhere; the targets are 0."""
        rows = {"ids": ["a", "b"], "targets": [0.0, 0.0]}
        return [
            result("mp_phonons", method, split, abs(off), seed=seed, predictions=[off, off], **rows)
            for seed, off in enumerate(offsets)
            for split in range(5)
        ]

    off = [0.05, 0.04, -0.03]
    text = written(cells("moe", off) + cells("rf-magpie", [0.1]))["seeds"]
    deviation = np.std(np.abs(off), ddof=1) / 0.04
    assert table_row(text, "## `moe`", "Last phonon")[1:] == [
        "3",
        "0.0400",
        "0.0300 to 0.0500",
        f"{deviation:.1%}",
        "0.0200 (-50.0%)",
    ]
    assert "error -50.0% from the mean of theirs, lower on 1." in text
    assert "rf-magpie" not in text
