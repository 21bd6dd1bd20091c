"""Leaderboards: Matbench's record and section, and the files of jarvis_leaderboard."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from toy_results import result

from benchmarks import report
from benchmarks.reports.submissions import matbench_hash, matbench_ids, matbench_record, write_jarvis
from moe_mat.tasks import TaskCards, matbench_folds

CARDS = TaskCards()


@pytest.fixture
def matbench_results():
    random = np.random.default_rng(0)
    given = []
    for split, (_, test) in enumerate(matbench_folds(CARDS.load("jarvis_2d_exfoliation").evidence.n_rows)):
        true = np.abs(random.normal(100, 50, len(test))).round(3)
        predicted = (true + random.normal(0, 30, len(test))).round(3)
        arrays = {"ids": [f"id{i}" for i in test], "targets": true.tolist(), "predictions": predicted.tolist()}
        given.append(result("matbench_jdft2d", "moe", split, float(np.abs(true - predicted).mean()), **arrays))
    return given


def test_matbench_ids_are_the_official_ones():
    assert matbench_ids(CARDS, "matbench_dielectric")[0][:3] == [
        "mb-dielectric-0008",
        "mb-dielectric-0010",
        "mb-dielectric-0019",
    ]
    assert {len(name) for fold in matbench_ids(CARDS, "matbench_jdft2d") for name in fold} == {len("mb-jdft2d-001")}


def test_matbench_record_has_the_layout_and_checksum_of_matbench(matbench_results):
    record = matbench_record(CARDS, matbench_results, "moe")
    assert set(record) == {
        *("@module", "@class", "version", "tasks", "user_metadata", "benchmark_name", "datestamp", "hash"),
    }
    (task,) = record["tasks"].values()
    assert (task["dataset_name"], set(task["results"])) == ("matbench_jdft2d", {f"fold_{n}" for n in range(5)})
    fold = task["results"]["fold_2"]
    assert list(fold["data"].values()) == matbench_results[2]["predictions"]
    assert fold["scores"]["mae"] == pytest.approx(matbench_results[2]["test_mae"])
    assert set(fold["scores"]) == {"mae", "rmse", "mape", "max_error"}
    loaded = json.loads(json.dumps(record))
    assert matbench_hash({key: value for key, value in loaded.items() if key != "hash"}) == record["hash"]
    assert matbench_record(CARDS, matbench_results[:4], "moe") is None


def test_jarvis_files_hold_ids_targets_and_predictions(matbench_results, tmp_path):
    files = write_jarvis(matbench_results, "moe", tmp_path)
    assert [path.name for path in files][:1] == ["AI-SinglePropertyPrediction-matbench_jdft2d-split0-test-mae.csv.zip"]
    with zipfile.ZipFile(files[0]) as archive:
        (name,) = archive.namelist()
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
    assert name == Path(files[0]).stem
    assert [row["id"] for row in rows] == matbench_results[0]["ids"]
    errors = [abs(float(row["target"]) - float(row["prediction"])) for row in rows]
    assert np.mean(errors) == pytest.approx(matbench_results[0]["test_mae"])


def test_matbench_section_ranks_us_among_the_leaderboard(matbench_results, tmp_path):
    found = report.build(matbench_results, [], cards=CARDS, reference=None, figures=tmp_path)
    text = found.appendices["matbench"].markdown(tmp_path)
    section = text[text.index("## matbench_jdft2d (meV/atom)") : text.index("Rows: same rows")]
    methods = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][2:]
    ours = np.mean([one["test_mae"] for one in matbench_results])
    published = CARDS.load("jarvis_2d_exfoliation").matbench.mae
    assert methods.index("`moe`") == sum(mae < ours for mae in published.values())
