"""Choices redone on half of the tasks: alternatives with a known answer, whole groups, missing cells, the page."""

from __future__ import annotations

import re
from math import pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from toy_results import result, table_row

from benchmarks import optimism
from benchmarks.cells.results import RESULTS, Result, read_results, write_result
from benchmarks.reports.families import REFERENCE
from benchmarks.reports.optimism import Alternatives, collect, halve, redo
from benchmarks.reports.optimism_page import build, cells_in_words
from moe_mat.tasks import TaskCards

# Of six data sets; that of mp_phonons shares its crystals with that of mp_eps_*.
TASKS = [
    *("jarvis_2d_eform", "jarvis_2d_exfoliation"),
    *("mp_eps_electronic", "mp_eps_total"),
    *("mp_phonons", "mp_poisson_ratio", "expt_bandgap", "expt_eform"),
]


def alternatives(val: np.ndarray, test: np.ndarray) -> Alternatives:
    names = ["moe", *"abcdefgh"[: len(val) - 1]]
    tasks = [f"task {n}" for n in range(val.shape[1])]
    return Alternatives(names, tasks, {"validation": val, "test": test}, [], {}, {})


def test_choosing_among_noise_by_test_is_optimistic_by_the_known_amount_and_by_independent_validation_is_not() -> None:
    """The lowest mean of m normal errors among three is on average 3 / (2 sqrt(pi)) sd / sqrt(m) below zero."""
    sd, generator = 0.1, np.random.default_rng(0)
    halvings = halve([*"abcdefghijkl"], n_halvings=10, seed=0)
    sizes = np.concatenate([halvings.sum(axis=1), (~halvings).sum(axis=1)])
    expected = 3 / (2 * sqrt(pi)) * sd * (1 / np.sqrt(sizes)).mean()
    found = []
    for _ in range(400):
        # The baseline is twice as bad, so that it is never chosen.
        val, test = (np.vstack([np.zeros(12), generator.normal(-0.5, sd, (3, 12))]) for _ in range(2))
        both = alternatives(val, test)
        found.append([redo(both, halvings, way).optimism.mean() for way in ("validation", "test")])
    (by_validation, by_test), error = np.mean(found, axis=0), np.std(found, axis=0).max() / sqrt(len(found))
    assert error < expected / 10
    assert by_test == pytest.approx(expected, abs=3 * error)
    assert by_validation == pytest.approx(0, abs=3 * error)


def test_one_that_is_better_everywhere_is_always_chosen_without_regret_or_optimism() -> None:
    generator = np.random.default_rng(1)
    errors = np.vstack([np.zeros(9), generator.uniform(0, 0.3, (2, 9)), np.full(9, -0.1)])
    halvings = halve([*"abcdefghi"], n_halvings=10, seed=0)
    for way in ("validation", "test"):
        redone = redo(alternatives(errors, errors), halvings, way)
        assert redone.on_all == "c"
        assert redone.gain_on_all == pytest.approx(0.1)
        assert {one.chosen for one in redone.flat} == {"c"}
        assert redone.optimism == pytest.approx(0)
        assert [one.regret + abs(one.against_all) for one in redone.flat] == pytest.approx([0] * 20)


def test_numbers_of_a_halving_by_hand() -> None:
    val = np.array([[0.0, 0.0, 0.0], [-0.2, 0.1, 0.0]])
    test = np.array([[0.0, 0.0, 0.0], [-0.3, 0.2, 0.4]])
    redone = redo(alternatives(val, test), np.array([[True, False, False]]), "validation")
    first, second = redone.outcomes[0]
    # On the first task "a" is chosen, on the others the baseline, on all "a".
    assert (redone.on_all, first.chosen, second.chosen) == ("a", "a", "moe")
    assert redone.gain_on_all == pytest.approx(-0.1)
    assert (first.gain, first.gain_elsewhere, first.against_all, first.regret) == pytest.approx((0.3, -0.3, 0, 0.3))
    assert (second.gain, second.gain_elsewhere, second.against_all, second.regret) == pytest.approx((0, 0, -0.3, 0.3))
    assert redone.optimism == pytest.approx([0.3])


def test_optimism_is_the_same_whatever_gains_are_counted_from() -> None:
    generator = np.random.default_rng(2)
    val, test = generator.normal(size=(2, 4, 10))
    halvings = halve([*"abcdefghij"], n_halvings=10, seed=0)
    shifted = redo(alternatives(val, test - test[2]), halvings, "validation")
    assert shifted.optimism == pytest.approx(redo(alternatives(val, test), halvings, "validation").optimism)


def test_halves_leave_groups_whole_and_none_comes_twice() -> None:
    groups = [*"aaaaaabbccdefg"]
    halvings = halve(groups, n_halvings=10, seed=3)
    assert halvings.shape == (10, 14)
    for half in halvings:
        assert all(len({bool(x) for x, name in zip(half, groups, strict=True) if name == g}) == 1 for g in set(groups))
        assert min(half.sum(), (~half).sum()) >= 14 / 3
    seen = {tuple(half) for half in halvings} | {tuple(~half) for half in halvings}
    assert len(seen) == 20
    assert (halvings == halve(groups, n_halvings=10, seed=3)).all()
    assert not (halvings == halve(groups, n_halvings=10, seed=4)).all()


def test_there_are_no_more_halvings_than_there_can_be() -> None:
    assert len(halve([*"abc"], n_halvings=10, seed=0)) == 3
    with pytest.raises(ValueError, match=r"4 tasks of 1 groups \(a\) cannot be halved"):
        halve([*"aaaa"], n_halvings=10, seed=0)
    with pytest.raises(ValueError, match="cannot be halved"):
        halve([*"aaab"], n_halvings=10, seed=0)


def test_only_cells_that_all_share_count_and_tasks_count_alike() -> None:
    results = [result("a", "moe", split, 2.0, val=1.0) for split in range(3)]
    results += [result("b", "moe", 0, 1.0), result("c", "moe", 0, 1.0)]
    results += [result("a", "x", 0, 1.0, val=1.5), result("a", "x", 1, 4.0, val=0.5), result("b", "x", 0, 0.5)]
    results += [result("a", "y", 0, 2.0), result("a", "y", 1, 2.0), result("a", "y", 2, 2.0), result("b", "y", 0, 1.0)]
    # These do not count: few labels, another seed, a failed one, an alternative of one task of three.
    results += [result("c", "y", 0, 1.0), result("c", "x", 0, 9.0, n_labels=10), result("c", "x", 0, 9.0, seed=1)]
    results += [{**result("c", "x", 0, 9.0), "status": "failed"}, result("a", "z", 0, 9.0)]
    found = collect(results, "moe")
    assert (found.names, found.tasks) == (["moe", "x", "y"], ["a", "b"])
    assert found.errors["test"] == pytest.approx(np.array([[0, 0], [0.25, -0.5], [0, 0]]))
    assert found.errors["validation"] == pytest.approx(np.array([[0, 0], [0, -0.5], [1, 0]]))
    assert found.unshared == {
        "moe": [("a", 2, 0), ("c", 0, 0)],
        "x": [("c", 0, 1)],
        "y": [("a", 2, 0), ("c", 0, 0)],
    }
    assert found.too_few == {"z": ["a"]}
    assert len(found.results) == 9


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(ValueError, match="finished results of moe and of others; there are those of x"):
        collect([result("a", "x", 0, 1.0)], "moe")
    with pytest.raises(ValueError, match="no cell is one of all alternatives, which have: moe 1, x 2"):
        collect([result("a", "moe", 0, 1.0), result("a", "x", 1, 1.0), result("a", "x", 2, 1.0)], "moe")


def test_cells_in_words() -> None:
    cells = [("b", 1, 0), ("a", 1, 0), ("a", 0, 0), ("b", 0, 0), ("c", 0, 2)]
    assert cells_in_words(cells) == "splits 0 1 of a, b; splits 0 (seed 2) of c"


def write_cells(folder: Path) -> None:
    noted: Result = {"commit": "abc", "versions": {"numpy": "2.0"}}
    for task in TASKS:
        write_result(result(task, "moe", 0, 1.0, **noted), folder / "results")
        write_result(result(task, "moe", 1, 1.0, **noted), folder / "results")
        write_result(result(task, "better", 0, 0.9, **noted), folder / "own")
        write_result(result(task, "worse", 0, 1.1, **{**noted, "commit": "def"}), folder / "own")
    write_result(result("mp_phonons", "partial", 0, 0.1), folder / "own")


def test_the_page_says_it_in_one_sentence_and_what_it_rests_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--results", str(tmp_path / "own"), "--reference", str(tmp_path / "results")]
    assert optimism.main(arguments) == 1
    assert "needed are finished results of moe" in capsys.readouterr().err
    write_cells(tmp_path)
    assert optimism.main(arguments) == 0
    text = (tmp_path / "own" / "optimism.md").read_text()
    sentence = capsys.readouterr().out.splitlines()[0]
    assert sentence in text
    assert "among 3 alternatives, redone on half of the 8 tasks" in sentence
    assert "optimistic by +0.00% of the MAE" in sentence
    assert "random halvings)" in sentence
    row = table_row(text, "# How much", "validation | data set")
    assert row[3:] == ["`better`", "+10.00%", "20/20", "+10.00%", "+10.00%", "+0.00% ± 0.00%", "+0.00%", "0.00%"]
    assert table_row(text, "# How much", "test | crystals")[3] == "`better`"
    assert table_row(text, "## Alternatives", "`moe`") == ["`moe`", "+0.00%", "+0.00%", "8", "8"]
    assert "* `partial`: all, as there are too few tasks: mp_phonons" in text
    assert f"* `moe`: splits 1 of {', '.join(sorted(TASKS))}" in text
    assert "Commits of the cells: abc, def." in text
    assert "* numpy 2.0" in text
    # Tasks of one data set stay together.
    halves = text[text.index("## Halvings") : text.index("## Choices")]
    assert halves.count("jarvis_dft_2d (2)") == halves.count("phonon_dielectric_mp (2)") == 10
    assert optimism.main([*arguments, "--leave-out", "worse"]) == 0
    assert "among 2 alternatives" in capsys.readouterr().out
    assert "* `worse`: all, by hand" in (tmp_path / "own" / "optimism.md").read_text()
    assert optimism.main([*arguments, "--leave-out", "wrose"]) == 1
    assert "there is no result of wrose to leave out" in capsys.readouterr().err


def test_the_committed_figure_is_that_of_the_committed_cells() -> None:
    repository = RESULTS.parents[1]
    alternatives, _ = read_results(optimism.FAMILIES)
    reference = [result for result in read_results(RESULTS)[0] if result["method"] == REFERENCE]
    _, sentence = build(collect([*alternatives, *reference], REFERENCE), TaskCards(), seed=0, by_hand=[])
    assert sentence in (optimism.FAMILIES / "optimism.md").read_text(encoding="utf-8")
    by_validation, by_test = (float(figure) for figure in re.findall(r"\+([\d.]+)%", sentence))
    assert f"by {by_validation:g} % (`python -m benchmarks.optimism`)" in (repository / "README.md").read_text("utf-8")
    words = f"{by_validation:g} % by validation errors, {by_test:g} % by test errors"
    assert words in (repository / "docs" / "benchmark.md").read_text(encoding="utf-8")
