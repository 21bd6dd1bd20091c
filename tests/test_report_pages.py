"""The pages of a report: the first one can be read, and leads to all others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.browser import Browser, browser  # noqa: F401
from toy_results import result

from benchmarks import report
from benchmarks.cells.audits import Audit, Seen
from benchmarks.cells.results import RESULTS, write_result
from benchmarks.methods.cards import list_methods
from benchmarks.reports.appendices import APPENDICES
from benchmarks.reports.document import anchor
from benchmarks.reports.report import Report
from benchmarks.reports.scores import Key
from moe_mat.tasks import N_SPLITS, TaskCards

CARDS = TaskCards()
MOST_LINES = 150


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report") / "report" / "figures"


@pytest.fixture(scope="module")
def large(figures: Path) -> Report:
    """All methods of the package on all tasks and splits, with something for every appendix."""
    random = np.random.default_rng(0)
    methods = [f"{name}:best" if name == "tl" else name for name in list_methods()]

    def cell(task: str, method: str, split: int, seed: int = 0) -> dict[str, Any]:
        weights = {"gate_weights": {"gap": 0.4, "other": 0.6}} if method in ("moe", "moma-gate", "moma-frozen") else {}
        true, predicted = random.normal(size=(2, 4)).tolist()
        rows = {"ids": list("abcd"), "targets": true, "predictions": predicted, "experts": ["gap"]}
        if method == "moe":
            bounds = [(np.array(predicted) + side).tolist() for side in (-1, 1)]
            rows |= {"std": [1.0, 0.5, 0.4, 0.3], "intervals": dict.fromkeys(("50", "80", "90", "95"), bounds)}
            rows |= {"uncertainty": {"crps": 0.5}}
        mae = float(np.abs(np.subtract(true, predicted)).mean())
        return result(task, method, split, mae, seed=seed, **weights, **rows)

    tasks = [*CARDS.names(), *CARDS.matbench]
    results = [cell(task, method, split) for task in tasks for method in methods for split in range(N_SPLITS)]
    results += [cell("mp_phonons", "rf-magpie", split, seed=1) for split in range(N_SPLITS)]
    results += [result("mp_phonons", method, 0, 1.0, n_labels=n) for method in ("moe", "stl") for n in (10, 100)]
    seen = {"a": Seen(["JARVIS"], ["band_gap"], {"MPtrj": ["energy"]}, {}, [], "f300")}
    audits = {name: Audit(name, "band_gap", "x", list("abcd"), {"gap": "a"}, seen) for name in CARDS.names()}
    return report.build(results, [], cards=CARDS, reference=None, figures=figures, audits=audits)


@pytest.fixture(scope="module")
def written(large: Report, figures: Path) -> Path:
    path = figures.parents[1] / "report.md"
    large.write_markdown(path)
    return path


def targets(page: Path) -> list[tuple[Path, str]]:
    """File and section of each link and picture of a page."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    return [((page.parent / file).resolve(), section) for file, section in links]


def sections(page: Path) -> set[str]:
    return {anchor(line.lstrip("# ")) for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "## "}


@pytest.mark.parametrize("which", ["made up", "committed"])
def test_the_first_page_is_short_and_leads_to_every_section(which: str, written: Path) -> None:
    first = written if which == "made up" else RESULTS / "report.md"
    assert len(first.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    linked = set(targets(first))
    pages = sorted(first.with_suffix("").glob("*.md"))
    assert {page.stem for page in pages} == {appendix.name for appendix in APPENDICES}
    for page in pages:
        assert (page, "") in linked
        assert {section for file, section in linked if file == page} - {""} == sections(page)


@pytest.mark.parametrize("which", ["made up", "committed"])
def test_links_and_pictures_are_there_and_no_picture_is_lost(which: str, written: Path) -> None:
    first = written if which == "made up" else RESULTS / "report.md"
    folder = first.with_suffix("")
    found = {target for page in (first, *folder.glob("*.md")) for target in targets(page)}
    for file, section in found:
        assert file.is_file(), file
        assert not section or section in sections(file), (file, section)
    assert {file for file, _ in found if file.suffix == ".png"} == set((folder / "figures").resolve().iterdir())
    assert all((first.resolve(), "") in targets(page) for page in folder.glob("*.md"))


def test_the_first_page_has_a_row_for_every_task_and_every_other_method(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    for card in CARDS.find():
        assert f"\n| {card.title}" in text
    for name in set(list_methods()) - {"moe", "tl"}:
        assert f"\n| `{name}` |" in text


@pytest.fixture(scope="module")
def page(large: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    large.write_html(path)
    return path


def test_html_is_one_file_whose_links_stay_in_it(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    names = re.findall(r'id="([^"]+)"', markup)
    assert len(names) == len(set(names))
    links = re.findall(r'href="([^"]+)"', markup)
    assert len(links) > len(APPENDICES)
    assert {link.removeprefix("#") for link in links} - {"data:,"} <= set(names)
    # Gates and parity are drawn by the page itself.
    assert markup.count("<details>") == len(APPENDICES) - 2
    assert not re.search(r'src="(?!data:)', markup)
    assert len(html) < 5e6


def test_the_page_draws_what_results_hold(large: Report, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="drawn">(.*?)</script>', html)
    tasks = {task["name"]: task for task in json.loads(text)["tasks"]}
    assert list(tasks) == [*CARDS.names(), *CARDS.matbench]
    one = tasks["mp_phonons"]
    assert one["published"]["MoE-(18)"] == 0.0996
    score = large.found.scores[Key("mp_phonons", "moe")]
    np.testing.assert_allclose(one["maes"]["moe"][0], score.mean, rtol=1e-4)
    errors = large.found.errors[Key("mp_phonons", "moe")]
    crystals = one["crystals"]
    assert crystals["id"] == list(errors.ids)
    assert crystals["n_splits"] == [N_SPLITS] * 4
    np.testing.assert_allclose(crystals["true"], errors.targets, rtol=1e-4)
    np.testing.assert_allclose(crystals["predicted"]["moe"], errors.predictions.mean(axis=(0, 2)), rtol=1e-3)
    assert one["gates"]["moe"] == [["other", 0.6], ["gap", 0.4]]


def test_the_page_in_a_browser(browser: Browser, page: Path) -> None:  # noqa: F811
    panel = "return document.querySelector('#task-panel h3').textContent;"
    for dark, width in ((False, 1200), (True, 400)):
        browser.open(page, dark=dark, width=width)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    browser.run(
        "const choice = document.getElementById('pick-task'); choice.value = 'mp_phonons';"
        "choice.dispatchEvent(new Event('change'));"
    )
    assert "moe: MAE" in browser.run("return document.getElementById('task-told').textContent")
    first, second = browser.run(
        "return [...document.querySelectorAll('#task-worst td.name')].map((one) => one.textContent)"
    )[:2]
    assert browser.run(panel) == first
    browser.run("document.querySelectorAll('#task-worst tr[data-shown]')[1].click()")
    assert browser.run(panel) == second
    assert "ln 1/cm" in browser.run("return document.getElementById('task-told').textContent")
    x, y = browser.run_async(
        """const [done] = arguments, of = state.task.crystals;
        document.getElementById("task").scrollIntoView({behavior: "instant"});
        plots.at(-1).then((view) => setTimeout(() => {
          const {x, y} = view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame;
          done([x + x_scale.compute(of.true[0]), y + y_scale.compute(of.predicted.moe[0])]);
        }, 200));"""
    )
    browser.mouse("mouseMoved", x, y)
    tip = browser.tip()
    assert tip.startswith("a ")
    assert "90 % interval" in tip
    browser.click(x, y)
    browser.wait_for(f"{panel.removesuffix(';')} === 'a';")
    browser.run("location.hash = '#rows'")
    assert browser.wait_for("return document.getElementById('rows').closest('details').open")
    assert not browser.problems


def test_only_the_html_file_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    for split in range(N_SPLITS):
        write_result(result("mp_phonons", "moe", split, 0.1), tmp_path / "results")
    output = tmp_path / "out" / "report.html"
    assert report.main(["--results", str(tmp_path / "results"), "--output", str(output)]) == 0
    assert list(output.parent.iterdir()) == [output]
