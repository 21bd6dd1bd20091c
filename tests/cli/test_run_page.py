"""The page that a run leaves: whole in one file, right in its numbers, and never dearer than the run."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import moe_mat.pages.run_page
from cli.browser import Browser, browser  # noqa: F401
from cli.own_runs import Run, run_folder, small
from moe_mat.audit import FLAGS, estimate, match
from moe_mat.cli.run_page import page_of_run
from moe_mat.crystals import formula_groups, load_quickstart
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.pages import RunSubject, gate_words, write_run_page
from moe_mat.pages.breakdown import PERIODIC_TABLE, by_element, by_size, by_system
from moe_mat.pages.crystals_shown import choose
from moe_mat.pages.nearest_training import nearest_training
from moe_mat.zoo import find_cards

HOSTILE = ['<img src=x onerror="window.hacked=1">', "</script><script>window.hacked=1</script>", "${window.hacked=1}"]
SECOND = "<b>E&Y</b>"


@dataclass
class Made:
    """A run and its page."""

    run: RunSubject
    page: str

    @property
    def drawn(self) -> list[dict]:
        (text,) = re.findall(r'<script type="application/json" id="drawn">(.*?)</script>', self.page)
        return json.loads(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run on two targets, one of which is seldom known, of crystals with hostile names."""
    folder = tmp_path_factory.mktemp("page")
    structures, table = load_quickstart()
    ids = [*HOSTILE, *table["material_id"][len(HOSTILE) :]]
    columns = {
        "name": ids,
        "bulk_modulus": table["bulk_modulus"],
        SECOND: [float(row) if row % 2 else None for row in range(len(ids))],
        "lattice_vectors": [structure.lattice.matrix.tolist() for structure in structures],
        "cartesian_site_positions": [structure.cart_coords.tolist() for structure in structures],
        "species_at_sites": [[str(site.specie) for site in structure] for structure in structures],
    }
    pd.DataFrame(columns).to_parquet(folder / "own.parquet")
    runs: list[RunSubject] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MOE_MAT_CACHE", str(folder / "cache"))
        patch.setattr("moe_mat.pages.write_run_page", lambda run: runs.append(run) or write_run_page(run))
        from moe_mat.cli.main import main

        targets = json.dumps(["bulk_modulus", SECOND])
        assert main(["fit", *small(), "own.parquet", "--target", targets, "--id-column", "name"]) == 0
        return Made(runs[0], (folder / run_folder() / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(made: Made) -> None:
    assert 1e6 < len(made.page.encode()) < 5e6
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", made.page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", markup)
    assert set(re.findall(r'href="([^"#][^"]*)"', markup)) == {
        "data:,", "config.yaml", "metrics.json", "predictions.csv", "gate_weights.csv", "left_out.csv",
    }  # fmt: skip


def test_its_numbers_are_those_of_the_run(made: Made) -> None:
    report = made.run.report
    test = report.metrics.query("part == 'test' and target == 'bulk_modulus'").iloc[0]
    assert f"{test['mae']:#.4g}".rstrip(".") in made.page
    first, second = made.drawn
    for target, of in (("bulk_modulus", first), (SECOND, second)):
        said = report.predictions.dropna(subset=[target])
        assert of["name"] == target
        for part in ("train", "val", "test"):
            true = said.loc[said["part"] == part, target]
            np.testing.assert_allclose(sorted(of["parts"][part]["true"]), sorted(true), rtol=1e-4)
    for command in ("moe-mat fit", "moe-mat test --config", "moe-mat crossval", "moe-mat predict"):
        assert command in made.page


def test_names_are_text_and_nothing_else(made: Made) -> None:
    shown = [name for part in made.drawn[0]["parts"].values() for name in part["id"]]
    assert set(HOSTILE) <= set(shown)
    markup = re.sub(r'<script type="application/json".*?</script>', "", made.page)
    assert not any(name in made.page for name in HOSTILE[:2])
    assert "<b>E&Y</b>" not in markup
    assert "&lt;b&gt;E&amp;Y&lt;/b&gt;" in markup


def test_the_nearest_are_others_that_were_learned_from(made: Made) -> None:
    model, data = made.run.model, made.run.data
    rows = torch.cat([data.rows["test"][:2], data.rows["val"][:1], data.rows["train"][:1]])
    found = nearest_training(model, data, rows.numpy(), target=0, k=3)
    every = data.part("train", "val", "test")
    with torch.no_grad():
        positions = dict(zip(every.ids, model.head.positions(every, 0), strict=True))
    learned = data.part("train", "val")
    for row, numbers, distances in zip(rows.tolist(), found.numbers, found.distances, strict=True):
        apart = {name: float((positions[name] - positions[data.ids[row]]).norm()) for name in learned.ids}
        apart.pop(data.ids[row], None)
        expected = sorted(apart, key=lambda name: apart[name])[:3]
        assert [found.ids[number] for number in numbers] == expected
        np.testing.assert_allclose(distances, [apart[name] for name in expected], atol=1e-3)
        values = dict(zip(learned.ids, learned.targets[:, 0].tolist(), strict=True))
        assert found.values[numbers].tolist() == [values[name] for name in expected]
    strange = CrystalDataModule.__new__(CrystalDataModule)
    strange.__dict__ |= data.__dict__ | {"targets": data.targets + 1}
    again = nearest_training(model, strange, data.rows["train"][:1].numpy(), target=0)
    assert again.distances[0, 0] == 0


def test_a_page_of_many_crystals_draws_some_and_says_so(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(moe_mat.pages.run_page, "LARGEST", len(made.page.encode()) - 3000)
    run = RunSubject(**made.run.__dict__ | {"folder": tmp_path})
    monkeypatch.setattr(moe_mat.pages.run_page, "MOST_POINTS", 110)
    page = write_run_page(run).read_text(encoding="utf-8")
    assert "of 58 crystals are drawn" in page
    assert len(page) < len(made.page)
    n = 10_000
    parts = np.where(np.arange(n) % 10 == 0, "test", "train")
    many = pd.DataFrame({"part": parts, "error": np.linspace(0, 1, n)})
    drawn = choose(many, most=1500)
    assert (drawn.n_all, len(drawn.predictions)) == (n, 1500)
    assert (drawn.predictions["part"] == "test").sum() == 1000


def test_a_run_without_test_rows_and_intervals(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", *small(), *own, "--data.fractions", "[0.9,0.1,0.0]") == 0
    page = run_folder() / "report.html"
    assert f"to look at it, open: {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "there are no test rows" in text
    assert "2 validation crystals that the model had not learned from" in text


def test_a_finished_run_outlives_its_page(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr("moe_mat.pages.write_run_page", broken)
    run = made.run
    with caplog.at_level(logging.WARNING):
        made_page = page_of_run(run.report, run.model, run.data, run.folder, level=0.9, seed=0, commands=run.commands)
    assert made_page is None
    assert "the run is complete, but its report.html was not made: RuntimeError: no ink" in caplog.text


def test_errors_by_element_system_and_size() -> None:
    said = pd.DataFrame(
        {
            "formula": ["NaCl", "NaCl", "LiCl", "LiCl"],
            "n_atoms": [2, 8, 2, 40],
            "part": ["test", "val", "test", "train"],
            "error": [1.0, -2.0, 3.0, 100.0],
        }
    )
    assert {len(row.split()) for row in PERIODIC_TABLE} == {18}
    elements = {one.name: one for row in by_element(said) for one in row if one}
    assert len(elements) == 103
    assert (elements["Cl"].n, elements["Cl"].error, elements["Cl"].ratio, elements["Cl"].n_train) == (3, 2.0, 1.0, 1)
    assert (elements["Na"].error, elements["Li"].n, elements["Fe"].n) == (1.5, 1, 0)
    assert [(one.name, one.n) for one in by_system(said)] == [("Cl-Li", 1), ("Cl-Na", 2)]
    assert [(one.name, one.n, one.error) for one in by_size(said)] == [("2", 2, 2.0), ("5 to 8", 1, 2.0)]


def test_every_expert_is_of_a_kind_in_words() -> None:
    cards = find_cards("all")
    said = {card.tag: gate_words.kind_of(card) for card in cards}
    assert said["magpie"] == "the composition"
    assert said["mp_formation_energy"] == "networks for energies"
    assert said["chgnet"] == "the potential CHGNet 0.3.0"
    weights = {"mp_formation_energy": 0.6, "magpie": 0.3, "chgnet": 0.1}
    some = gate_words.kinds(weights, [card for card in cards if card.tag in weights])
    assert gate_words.in_words(some) == (
        "It leans on networks for formation energy (60 %), then on the composition (30 %); "
        "all other kinds of experts share 10 %."
    )


def test_what_is_estimated_without_structures_is_what_is_found_without_files(tmp_path: Path) -> None:
    structures, _ = load_quickstart()
    cards = find_cards(["magpie", "mp_formation_energy"])
    n_atoms = np.array([len(one) for one in structures])
    volumes = np.array([one.volume for one in structures]) / n_atoms
    crystals = pd.DataFrame({"formula": formula_groups(structures), "n_atoms": n_atoms, "volume": volumes})
    expected = match(structures, cards, sources=tmp_path).overlaps("formation_energy")
    for one, other in zip(estimate(crystals, cards).overlaps("formation_energy"), expected, strict=True):
        for flag in FLAGS:
            np.testing.assert_array_equal(getattr(one, flag), getattr(other, flag))


def test_the_page_in_a_browser(browser: Browser, made: Made, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "report.html"
    path.write_text(made.page, encoding="utf-8")
    browser.open(path, dark=False)
    light = browser.run("return getComputedStyle(document.body).backgroundColor")
    panel = browser.run("return document.querySelector('[data-panel=\"0\"]').textContent")
    assert "Nearest crystals of the training" in panel

    hardest = made.drawn[0]["parts"]["train"]
    place = int(np.argmax(hardest["true"]))  # alone in its corner
    x, y = browser.run_async(
        """const [place, done] = arguments, plot = crystals[0], part = plot.target.parts.train;
        document.getElementById("parity-0").scrollIntoView({behavior: "instant"});
        plot.view.then((view) => setTimeout(() => {
          const {x, y} = view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame;
          done([x + x_scale.compute(part.true[place]), y + y_scale.compute(part.predicted[place])]);
        }, 200));""",
        place,
    )
    browser.mouse("mouseMoved", x, y)
    tip = browser.tip()
    assert hardest["id"][place] in tip
    assert "90 % interval" in tip
    panel = """return document.querySelector('[data-panel="0"] h3').textContent;"""
    assert browser.run(panel) != hardest["id"][place]
    browser.click(x, y)
    browser.wait_for(f"{panel.removesuffix(';')} === arguments[0];", hardest["id"][place])
    assert browser.run("return document.querySelectorAll('[data-panel=\"0\"] tbody tr').length") == 5

    for name in HOSTILE[:2]:
        part, place = next(
            (part, of["id"].index(name)) for part, of in made.drawn[0]["parts"].items() if name in of["id"]
        )
        browser.run("document.body.append(crystals[0].tip(...arguments)); crystals[0].show(...arguments)", part, place)
        assert browser.run(panel) == name
    browser.run("document.querySelector('#where-0 [data-element]').click()")
    assert "stand out in the parity plot" in browser.run("return document.querySelector('[data-told]').textContent")
    assert browser.run("return typeof window.hacked") == "undefined"

    browser.open(path, dark=True, width=400)
    assert browser.run("return getComputedStyle(document.body).backgroundColor") != light
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    assert browser.problems == []
