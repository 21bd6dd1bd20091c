"""The report as it is written: tables, figures, HTML."""

import numpy as np
import pytest
from toy_results import result, some_results, table_row

from benchmarks import report
from benchmarks.cells.results import write_result
from benchmarks.reports.document import Document, Table
from moe_mat.tasks import TaskCards

CARDS = TaskCards()


@pytest.fixture
def results():
    return some_results()


def test_report_of_results_with_the_promised_keys_only(results, tmp_path, capsys):
    for one in results:
        write_result(one, tmp_path / "results")
    damaged = tmp_path / "results" / "moe" / "expt_eform.0.0.json"
    damaged.write_text('{"task": "expt')
    output = tmp_path / "out" / "report.md"
    assert report.main(["--results", str(tmp_path / "results"), "--output", str(output)]) == 0
    page = {path.stem: path.read_text() for path in (tmp_path / "out" / "report").glob("*.md")}
    phonons = table_row(page["methods"], "# Test MAE by task", "Last phonon DOS peak")
    # Without predictions there are no intervals, and nothing is bold.
    assert phonons[1:8] == ["0.127", "0.0996", "0.0811", "0.0859", "0.0596", "0.0568", "0.0484"]
    assert phonons[8:] == ["0.114", "0.0700"]
    assert table_row(page["methods"], "# Test MAE by task", "Poisson ratio")[-2:] == ["0.0340", "0.0300"]
    against = table_row(page["published"], "# Against the published methods", "moe")
    change = f"{100 * ((0.07 / 0.0996 + 0.03 / 0.0292) / 2 - 1):+.1f}%"
    assert against[2] == f"1/2 (0), {change}"
    assert "`moe` is not below MoE-(18) on: Poisson ratio +2.7%" in page["published"]
    pair = table_row(page["paired"], "## Split by split", "rf-magpie | mp_phonons")
    assert pair[2:] == ["-0.044", "", "5/5", "", "-0.05 -0.04 -0.05 -0.04 -0.04"]
    assert "published rows and splits" in table_row(page["rows"], "# Where rows", "mp_phonons")[2]
    assert "`moe` expt_bandgap: splits 0 1 2 3 4 not run" in page["missing"]
    assert str(damaged) in page["missing"]
    assert str(damaged) in capsys.readouterr().err
    first = output.read_text()
    assert (
        "is below MoE-(18) on **1 of 2** comparable tasks, beyond its 95 % interval on 0; mean relative change "
        f"**{change}**. Not below on: Poisson ratio +2.7%." in first
    )
    row = table_row(first, "## Test MAE by task", "Last phonon DOS peak")
    assert row[1:] == ["0.0996", "0.0484", "0.0700", "0.114"]
    assert table_row(first, "## Test MAE by task", "learned from")[3:] == ["train+val", "train+val"]
    change = f"{100 * ((0.07 / 0.114 + 0.03 / 0.034) / 2 - 1):+.1f}%"
    assert table_row(first, "## The other methods", "`rf-magpie`")[2:] == ["train+val", "2 of 2", "0 of 2", change]


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
    names = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert names == {"relative", "relative_all", "gates_moe", "parity_moe", "learning_curves"}
    html = (tmp_path / "report.html").read_text()
    assert html.count('src="data:image/png;base64,') == 1  # the page draws the others itself
    assert "http" not in html.replace("https://", "http://").split("<body>")[0]
    curve = table_row(
        (tmp_path / "report" / "few-labels.md").read_text(), "## Learning curves", "Last phonon DOS peak | moe"
    )
    assert curve[2:] == ["0.140 ± 0.032", "0.070 ± 0.016"]
    cost = table_row((tmp_path / "report" / "cost.md").read_text(), "# Cost", "moe")
    assert int(cost[1]) == sum(one["method"] == "moe" for one in results)  # and not those with few labels


def test_nothing_to_report_is_said(tmp_path, capsys):
    assert report.main(["--results", str(tmp_path)]) == 1
    assert "no finished result" in capsys.readouterr().err


def test_results_of_different_settings_are_pointed_out(results, tmp_path):
    mixed = [{**one, "method_digest": str(one["split"] == 0)} for one in results]
    found = report.build(mixed, [], cards=CARDS, reference=None, figures=tmp_path)
    assert "moe has results of 2 different settings" in found.first.markdown(tmp_path)


def test_html_escapes_what_results_hold():
    document = Document("a <b>")
    document.add(Table(["x"], [["<script>alert(1)</script> **bold**"]]), ["a & b"])
    html = document.html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>bold</b>" in html
