"""The sections on what experts have seen."""

from dataclasses import replace

import numpy as np
import pytest
from toy_results import result, table_row

from benchmarks import report
from benchmarks.cells.audits import Audit, Seen, read_audit
from benchmarks.cells.results import write_result


def seen(flags: str, *, datasets=("JARVIS",), unlisted=None, estimated=()) -> Seen:
    return Seen(list(datasets), ["band_gap"] * bool(datasets), unlisted or {}, {}, list(estimated), flags)


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
            # something, from the same crystal, of two more; the label from one of another row's formula
            "b": seen("0055c00000"),
            "c": seen("0" * 10, datasets=(), unlisted={"MPtrj": ["energy", "forces"]}),
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
    text = (leaky / "report" / "leak-free.md").read_text()
    row = table_row(text, "## `moe` without what its experts have seen", "Last phonon DOS peak")
    # Without rows 0 and 1: 64/8 of the splits; the mean over splits of 2 2 2 1 1 1 1 1 without one or two of them.
    errors = [9, 9, 2, 2, 2, 1, 1, 1, 1, 1]
    by_split = [np.mean([e for r, e in enumerate(errors) if r % 5 != s and r > 1]) for s in range(5)]
    by_formula = [np.mean([e for r, e in enumerate(errors) if r % 5 != s and r not in (0, 1, 4)]) for s in range(5)]
    assert row == [
        *("Last phonon DOS peak", "0.0996", "0.0484", "2.9", "5"),
        *("32 of 40", f"{np.mean(by_split):.4g}", "5"),
        *("28 of 40", f"{np.mean(by_formula):.4g}", "5"),
        *("20 of 40", "1", "5"),
    ]
    assert "MPtrj: energy, forces (chgnet)" in text
    assert "`moe` is below MoE-(18) on 0 of 1 tasks on all rows" in text
    first = (leaky / "report.md").read_text()
    assert table_row(first, "## Without what experts have seen", "test rows left")[1:] == ["100%", "80%", "70%", "50%"]
    changes = [mae / 0.0996 - 1 for mae in (2.9, np.mean(by_split), np.mean(by_formula), 1)]
    row = table_row(first, "## Without what experts have seen", "tasks below MoE-(18)")
    assert row[1:] == [f"0 of 1, {change:+.1%}" for change in changes]


def test_each_method_loses_what_its_own_experts_have_seen(leaky):
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report" / "leak-free.md").read_text()
    heading = "## All methods, each without"
    assert table_row(text, heading, "rf-magpie")[1:] == ["100%", "+0.0%"] * 3
    assert table_row(text, heading, "moe")[1] == "80%"
    assert "Not audited, and not in these numbers. Run the sweep again" in text
    assert "* `tl:lost`: mp_phonons" in text


def test_each_method_has_a_table_on_the_rows_of_its_own_experts(leaky):
    for split in range(5):
        arrays = {"ids": ["r0", "r5"], "targets": [0.0] * 2, "predictions": [3.0, 4.0], "experts": ["other", "chgnet"]}
        write_result(result("mp_phonons", "moe-strict", split, 3.5, **arrays), leaky)
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report" / "leak-free.md").read_text()
    row = table_row(text, "## `moe-strict` without what its experts have seen", "Last phonon DOS peak")
    assert row[3:] == ["3.5", "5", *["10 of 10", "3.5", "5"] * 2, *("10 of 10", "3.5", "5")]


def test_rows_that_potentials_may_know_are_an_upper_bound(leaky):
    audit = read_audit(leaky, "mp_phonons")
    replace(audit, quantity="exfoliation_energy").write(leaky)  # which follows from energies
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report" / "leak-free.md").read_text()
    row = table_row(text, "## `moe` without what its experts have seen", "Last phonon DOS peak")
    assert [row[place] for place in (5, 8, 11)] == ["≤ 32 of 40", "≤ 28 of 40", "20 of 40"]
    row = table_row(text, "## All methods, each without", "moe")
    assert [row[place] for place in (1, 3, 5)] == ["≤ 80%", "≤ 70%", "50%"]


def test_audit_table_and_its_picture(leaky):
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report" / "leakage.md").read_text()
    heading = "# Leakage audit"
    row = table_row(text, "Test crystals of all splits", "Last phonon DOS peak | gap")
    assert row[2:7] == ["10", "2 (20%)", "2 (20%)", "2 (20%)", "2 (20%)"]
    row = table_row(text, "Test crystals of all splits", "Last phonon DOS peak | other")
    assert row[2:7] == ["10", "2 (20%)", "0", "3 (30%)", "1 (10%)"]
    assert table_row(text, heading, "chgnet")[1:] == ["chgnet", "", "", "MPtrj: energy, forces"]
    assert "phonon DOS peak | chgnet" not in text
    assert "| magpie" not in text[text.index(heading) :]
    assert (leaky / "report" / "figures" / "leakage.png").exists()


def test_report_without_audits_says_how_to_make_them(leaky):
    (leaky / "audit" / "mp_phonons.json").write_text("cut")
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report.md").read_text()
    assert "was not audited. Run the sweep again" in text
    assert "was not audited. Run the sweep again" in (leaky / "report" / "leak-free.md").read_text()
    assert not (leaky / "report" / "leakage.md").exists()


def test_estimated_matches_are_marked(leaky):
    ids = [f"r{row}" for row in range(10)]
    estimated = seen("f" * 10, estimated=["x is not there"])
    Audit("mp_phonons", "x", "x", ids, {"gap": "a"}, {"a": estimated}).write(leaky)
    assert report.main(["--results", str(leaky)]) == 0
    text = (leaky / "report" / "leakage.md").read_text()
    assert "~: sources were not at hand" in text
