import csv
import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import report
from benchmarks.cells.audits import Audit, Seen
from benchmarks.cells.results import Cell, failed_result, write_result
from benchmarks.reports.document import Document, Table
from benchmarks.reports.scores import (
    BEST_TRANSFER,
    Key,
    against_method,
    against_published,
    gate_weights,
    missing_cells,
    paired,
    score,
    with_best_transfer,
)
from benchmarks.reports.submissions import matbench_hash, matbench_ids, matbench_record, write_jarvis
from benchmarks.tasks import load_task, matbench_folds

# Test MAE by split. Published on mp_phonons: MoE-(18) 0.0996, MoMa (Full) 0.0484; on mp_poisson_ratio: 0.0292, 0.0204.
PHONONS = {
    "moe": [0.05, 0.06, 0.07, 0.08, 0.09],
    "rf-magpie": [0.10, 0.10, 0.12, 0.12, 0.13],
}
POISSON = {"moe": [0.03] * 5, "rf-magpie": [0.04, 0.02, 0.03, 0.03, 0.05]}


def result(task, method, split, mae, *, seed=0, val=None, **more):
    numbers = {"val_mae": mae if val is None else val, "test_mae": mae, "seconds": 2.0}
    return {"task": task, "split": split, "method": method, "seed": seed, **numbers, **more}


@pytest.fixture
def results():
    return [
        result(task, method, split, mae)
        for task, methods in (("mp_phonons", PHONONS), ("mp_poisson_ratio", POISSON))
        for method, maes in methods.items()
        for split, mae in enumerate(maes)
    ]


def table_row(text: str, heading: str, first: str) -> list[str]:
    """The cells of a row of the first table after a heading."""
    lines = text[text.index(heading) :].splitlines()
    row = next(line for line in lines if line.startswith(f"| {first}"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_score_is_mean_and_spread_over_splits_of_means_over_seeds(results):
    found = score(results)[Key("mp_phonons", "moe")]
    assert (found.mean, found.complete) == (pytest.approx(0.07), True)
    assert found.sd == pytest.approx(math.sqrt((4 + 1 + 0 + 1 + 4) * 1e-4 / 4))
    two = score([*results, result("mp_phonons", "moe", 0, 0.15, seed=1)])[Key("mp_phonons", "moe")]
    assert two.by_split[0] == pytest.approx(0.1)
    assert math.isnan(score(results[:1])[Key("mp_phonons", "moe")].sd)


def test_comparison_with_published_numbers(results):
    found = against_published(score(results), "moe", "MoE-(18)")
    assert found.changes == pytest.approx({"mp_phonons": 0.07 / 0.0996 - 1, "mp_poisson_ratio": 0.03 / 0.0292 - 1})
    assert found.wins == 1
    assert found.mean == pytest.approx(((0.07 / 0.0996 - 1) + (0.03 / 0.0292 - 1)) / 2)


def test_only_complete_and_comparable_tasks_count_against_published_numbers(results):
    scores = score([*results[1:], *(result("jarvis_3d_gap_tbmbj", "moe", split, 0.1) for split in range(5))])
    assert set(against_published(scores, "moe", "MoE-(18)").changes) == {"mp_poisson_ratio"}


def test_paired_differences_and_their_tests(results):
    found = paired(score(results), "mp_phonons", "moe", "rf-magpie")
    differences = np.subtract(PHONONS["moe"], PHONONS["rf-magpie"])
    assert list(found.by_split.values()) == pytest.approx(differences)
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(5))
    assert found.t_test == pytest.approx(2 * stats.t.sf(abs(t), df=4))
    assert found.wilcoxon == pytest.approx(2 / 2**5)  # all five of one sign: the lowest that there is
    assert paired(score(results), "mp_phonons", "moe", "stl") is None
    same = [result("mp_phonons", method, split, 0.1 * split) for method in ("a", "b") for split in range(5)]
    assert paired(score(same), "mp_phonons", "a", "b").t_test is None


def test_methods_are_compared_over_the_tasks_that_both_have(results):
    found, p = against_method(score(results), "moe", "rf-magpie")
    assert found.changes == pytest.approx({"mp_phonons": 0.07 / 0.114 - 1, "mp_poisson_ratio": 0.03 / 0.034 - 1})
    assert p == pytest.approx(0.5)


def test_methods_are_compared_on_the_splits_that_both_have(results):
    without_the_worst = [r for r in results if not (r["method"] == "rf-magpie" and r["split"] == 4)]
    found, _ = against_method(score(without_the_worst), "moe", "rf-magpie")
    assert found.changes == pytest.approx({"mp_phonons": 0.065 / 0.11 - 1, "mp_poisson_ratio": 0.0})


def test_best_transfer_is_chosen_on_validation_for_each_task():
    given = []
    for task, good in (("mp_phonons", "tl:a"), ("mp_poisson_ratio", "tl:b")):
        for method in ("tl:a", "tl:b"):
            # Best on validation is worst on test here: that must not help.
            val, test = (0.1, 0.9) if method == good else (0.2, 0.3)
            given += [result(task, method, split, test, val=val) for split in range(5)]
    scores = score(with_best_transfer(given))
    assert {key.method for key in scores} == {BEST_TRANSFER}
    assert [found.mean for found in scores.values()] == pytest.approx([0.9, 0.9])


def test_gate_weights_are_averaged_and_absent_experts_are_zero():
    given = [
        result("mp_phonons", "moe", 0, 0.1, gate_weights={"a": 0.5, "b": 0.5}),
        result("mp_phonons", "moe", 1, 0.1, gate_weights={"a": 0.2, "c": 0.8}),
        result("mp_phonons", "moe", 1, 0.1, gate_weights={"a": 1.0}, n_labels=10),
    ]
    assert gate_weights(given, "moe")["mp_phonons"] == pytest.approx({"a": 0.35, "b": 0.25, "c": 0.4})


def test_missing_cells_are_named_with_the_reason(results):
    failed = failed_result(Cell("mp_phonons", 2, "moe"), error="ValueError: no way\nat all", traceback="...")
    kept = [
        r for r in results if (r["task"], r["method"], r["split"]) not in {("mp_phonons", "moe", n) for n in (2, 4)}
    ]
    missing = missing_cells([*kept, failed], "moe", ["mp_phonons", "mp_poisson_ratio", "expt_eform"])
    assert missing == {
        "mp_phonons": "splits 2 failed, ValueError: no way; splits 4 not run",
        "expt_eform": "splits 0 1 2 3 4 not run",
    }


def test_report_of_results_with_the_promised_keys_only(results, tmp_path, capsys):
    for one in results:
        write_result(one, tmp_path / "results")
    damaged = tmp_path / "results" / "moe" / "expt_eform.0.0.json"
    damaged.write_text('{"task": "expt')
    output = tmp_path / "out" / "report.md"
    assert report.main(["--results", str(tmp_path / "results"), "--output", str(output)]) == 0
    text = output.read_text()
    phonons = table_row(text, "## Test MAE by task", "Last phonon DOS peak")
    assert phonons[1:8] == ["0.127", "0.0996", "0.0811", "0.0859", "0.0596", "0.0568", "**0.0484**"]
    assert phonons[8:] == ["0.114 ± 0.013", "0.070 ± 0.016"]
    assert table_row(text, "## Test MAE by task", "Poisson ratio")[-2:] == ["0.034 ± 0.011", "0.03"]
    against = table_row(text, "## Against the published methods", "moe")
    assert against[2] == f"1/2, {100 * ((0.07 / 0.0996 + 0.03 / 0.0292) / 2 - 1):+.1f}%"
    assert "`moe` is not below MoE-(18) on: Poisson ratio +2.7%" in text
    pair = table_row(text, "### Split by split", "rf-magpie | mp_phonons")
    assert pair[2:] == ["-0.044", "0.0055", "5/5", "<0.001", "0.062", "-0.05 -0.04 -0.05 -0.04 -0.04"]
    assert "cannot be below 0.0625" in text
    assert "published rows and splits" in table_row(text, "## Where rows and splits come from", "mp_phonons")[2]
    assert "`moe` expt_bandgap: splits 0 1 2 3 4 not run" in text
    assert str(damaged) in text
    assert str(damaged) in capsys.readouterr().err
    assert (tmp_path / "out" / "report_figures" / "relative.png").exists()


def test_full_report_has_all_figures_and_html_needs_nothing_else(results, tmp_path):
    random = np.random.default_rng(0)
    for one in results:
        true = random.normal(size=20)
        errors = random.choice([-1, 1], 20) * one["test_mae"]
        predictions = {"ids": [str(i) for i in range(20)], "targets": [*true], "predictions": [*(true + errors)]}
        gates = {"gate_weights": {f"e{i}": w for i, w in enumerate(random.dirichlet(np.ones(5)))}}
        write_result({**one, **predictions, **(gates if one["method"] == "moe" else {})}, tmp_path)
        few = result(one["task"], one["method"], one["split"], 2 * one["test_mae"], n_labels=10)
        write_result(few, tmp_path)
    assert report.main(["--results", str(tmp_path)]) == 0
    names = {path.stem for path in (tmp_path / "report_figures").iterdir()}
    assert names == {"relative", "gates_moe", "parity_moe", "learning_curves"}
    html = (tmp_path / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 4
    assert "http" not in html.replace("https://", "http://").split("<body>")[0]
    assert all(f"report_figures/{name}.png" in (tmp_path / "report.md").read_text() for name in names)
    curve = table_row((tmp_path / "report.md").read_text(), "## Learning curves", "Last phonon DOS peak | moe")
    assert curve[2:] == ["0.140 ± 0.032", "0.070 ± 0.016"]


def test_nothing_to_report_is_said(tmp_path, capsys):
    assert report.main(["--results", str(tmp_path)]) == 1
    assert "no finished result" in capsys.readouterr().err


def test_results_of_different_settings_are_pointed_out(results, tmp_path):
    mixed = [{**one, "method_digest": str(one["split"] == 0)} for one in results]
    document = report.build(mixed, [], reference=None, figures=tmp_path)
    assert "moe has results of 2 different settings" in document.markdown(tmp_path)


def test_html_escapes_what_results_hold():
    document = Document("a <b>")
    document.add(Table(["x"], [["<script>alert(1)</script> **bold**"]]), ["a & b"])
    html = document.html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>bold</b>" in html


# Leakage -------------------------------------------------------------------------------------------------------------


def seen(flags: str, *, datasets=("JARVIS",), unknown=(), estimated=()) -> Seen:
    return Seen(list(datasets), ["band_gap"] * bool(datasets), list(unknown), {}, list(estimated), flags)


@pytest.fixture
def leaky(tmp_path):
    """Results of three methods on ten rows, of which ``gap`` has learned the first, and ``other`` something else."""
    ids = [f"r{row}" for row in range(10)]
    audit = Audit(
        task="mp_phonons",
        quantity="phonon_frequency",
        data="x",
        ids=ids,
        experts={"gap": "a", "other": "b", "chgnet": "c", "magpie": "d"},
        seen={
            "a": seen("ff00000000"),  # the label, from the same crystal, of two rows
            "b": seen("0055400000"),  # something, from the same crystal, of two more; one of another row's formula
            "c": seen("0" * 10, datasets=(), unknown=["MPtrj"]),
            "d": seen("0" * 10, datasets=()),
        },
    )
    audit.write(tmp_path)
    errors = {"moe": [9, 9, 2, 2, 2, 1, 1, 1, 1, 1], "rf-magpie": [5] * 10, "tl:lost": [1] * 10}
    experts = {"moe": ["gap", "other", "chgnet", "magpie"], "rf-magpie": ["magpie"], "tl:lost": ["lost"]}
    for method, of_rows in errors.items():
        for split in range(5):
            rows = [r for r in range(10) if r % 5 != split]  # eight test rows a split
            arrays = {
                "ids": [ids[r] for r in rows],
                "targets": [0.0] * 8,
                "predictions": [float(of_rows[r]) for r in rows],
            }
            mae = np.mean(arrays["predictions"])
            one = result("mp_phonons", method, split, mae, experts=experts[method], **arrays)
            write_result(one, tmp_path)
    return tmp_path


def test_main_table_again_without_what_experts_have_seen(leaky):
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    row = table_row(text, "## Without what experts have seen", "Last phonon DOS peak")
    # Without rows 0 and 1: 64/8 of the splits; the mean over splits of 2 2 2 1 1 1 1 1 without one or two of them.
    by_split = [
        np.mean([e for r, e in enumerate([9, 9, 2, 2, 2, 1, 1, 1, 1, 1]) if r % 5 != s and r > 1]) for s in range(5)
    ]
    assert row == [
        *("Last phonon DOS peak", "0.0996", "0.0484", "2.9", "5"),
        *("32 of 40", f"{np.mean(by_split):.4g}", "5"),
        *("20 of 40", "1", "5"),
    ]
    assert "MPtrj: chgnet" in text
    assert "`moe` is below MoE-(18) on 0 of 1 tasks on all rows" in text


def test_each_method_loses_what_its_own_experts_have_seen(leaky):
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    heading = "### All methods, each without"
    assert table_row(text, heading, "rf-magpie")[1:] == ["100%", "+0.0%", "100%", "+0.0%"]
    assert table_row(text, heading, "moe")[1] == "80%"
    assert "Not audited, and not in these numbers. Run the sweep again" in text
    assert "* `tl:lost`: mp_phonons" in text


def test_audit_table_and_its_picture(leaky):
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    heading = "## Leakage audit"
    row = table_row(text, "Test crystals of all splits", "Last phonon DOS peak | gap")
    assert row[2:7] == ["10", "2 (20%)", "2 (20%)", "2 (20%)", "2 (20%)"]
    row = table_row(text, "Test crystals of all splits", "Last phonon DOS peak | other")
    assert row[2:7] == ["10", "2 (20%)", "0", "3 (30%)", "0"]
    assert table_row(text, heading, "chgnet")[1:] == ["chgnet", "", "", "MPtrj"]
    assert "phonon DOS peak | chgnet" not in text
    assert "| magpie" not in text[text.index(heading) :]
    assert (leaky / "report_figures" / "leakage.png").exists()


def test_report_without_audits_says_how_to_make_them(leaky):
    (leaky / "audit" / "mp_phonons.json").write_text("cut")
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    assert "was not audited. Run the sweep again" in text
    assert "## Leakage audit" not in text


def test_estimated_matches_are_marked(leaky):
    ids = [f"r{row}" for row in range(10)]
    estimated = seen("f" * 10, estimated=["x is not there"])
    Audit("mp_phonons", "x", "x", ids, {"gap": "a"}, {"a": estimated}).write(leaky)
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    assert "~: sources were not at hand" in text


# Submissions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def matbench_results():
    random = np.random.default_rng(0)
    given = []
    for split, (_, test) in enumerate(matbench_folds(load_task("jarvis_2d_exfoliation").evidence.n_rows)):
        true = np.abs(random.normal(100, 50, len(test))).round(3)
        predicted = (true + random.normal(0, 30, len(test))).round(3)
        arrays = {"ids": [f"id{i}" for i in test], "targets": true.tolist(), "predictions": predicted.tolist()}
        given.append(result("matbench_jdft2d", "moe", split, float(np.abs(true - predicted).mean()), **arrays))
    return given


def test_matbench_ids_are_the_official_ones():
    assert matbench_ids("matbench_dielectric")[0][:3] == [
        "mb-dielectric-0008",
        "mb-dielectric-0010",
        "mb-dielectric-0019",
    ]
    assert {len(name) for fold in matbench_ids("matbench_jdft2d") for name in fold} == {len("mb-jdft2d-001")}


def test_matbench_record_has_the_layout_and_checksum_of_matbench(matbench_results):
    record = matbench_record(matbench_results, "moe")
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
    assert matbench_record(matbench_results[:4], "moe") is None


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
    document = report.build(matbench_results, [], reference=None, figures=tmp_path)
    text = document.markdown(tmp_path)
    section = text[text.index("### matbench_jdft2d (meV/atom)") : text.index("Rows: same rows")]
    methods = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][2:]
    ours = np.mean([one["test_mae"] for one in matbench_results])
    published = load_task("jarvis_2d_exfoliation").matbench.mae
    assert methods.index("**moe**") == sum(mae < ours for mae in published.values())
