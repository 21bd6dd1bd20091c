"""The page of a run on classes: right in its numbers, and quiet in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score

import moe_mat.pages.run_page
from cli.browser import Browser, browser  # noqa: F401
from cli.class_runs import HOSTILE, ClassRun
from moe_mat.pages import RunSubject, of_classes, write_run_page
from moe_mat.pages.breakdown import by_element
from moe_mat.pages.crystals_shown import mistakes, predictions_of, worst_first
from moe_mat.pages.nearest_training import nearest_training


def page_of(run: ClassRun) -> str:
    return (run.folder / "report.html").read_text(encoding="utf-8")


def test_its_numbers_are_those_of_the_run(class_run: ClassRun) -> None:
    page, report = page_of(class_run), class_run.run.report
    (text,) = re.findall(r'<script type="application/json" id="drawn">(.*?)</script>', page)
    (drawn,) = json.loads(text)
    classes = report.classes
    assert drawn["classes"] == classes
    written = report.predictions.set_index("material_id")
    for part, of in drawn["parts"].items():
        rows = written.loc[of["id"]]
        assert (rows["part"] == part).all()
        assert [classes[one] for one in of["true"]] == rows["kind"].tolist()
        assert [classes[one] for one in of["predicted"]] == rows["kind_predicted"].tolist()
        said = [row[f"kind_p_{row['kind']}"] for row in rows.to_dict("records")]
        np.testing.assert_allclose(of["p_true"], said, rtol=1e-4)
        assert all(one[0] == predicted for one, predicted in zip(of["likely"], of["predicted"], strict=True))
    test = report.metrics.query("part == 'test'").iloc[0]
    for name in ("log_loss", "prior_log_loss", "balanced_accuracy"):
        assert f"{test[name]:#.4g}".rstrip(".") in page
    assert 1e6 < len(page.encode()) < 5e6
    assert "moe-mat audit" in page
    assert "--predictions" not in page


def test_what_is_taken_for_what(class_run: ClassRun) -> None:
    run = class_run.run
    said = predictions_of(run.report, run.data, "kind")
    judged = of_classes.judge(run.report, "kind", said, "test")
    assert judged is not None
    test = run.report.predictions.query("part == 'test'")
    true, predicted, names = test["kind"], test["kind_predicted"], run.report.classes
    assert judged.confusion == confusion_matrix(true, predicted, labels=names).tolist()
    for scored, found in ((recall_score, "found"), (precision_score, "right")):
        expected = scored(true, predicted, labels=names, average=None, zero_division=np.nan)
        np.testing.assert_allclose([getattr(one, found) for one in judged.each], expected)
    areas = [roc_auc_score(true == name, test[f"kind_p_{name}"]) for name in names]
    np.testing.assert_allclose([one.roc_auc for one in judged.each], areas)
    new = said[said["part"] != "train"]
    assert worst_first(said)["p_true"].iloc[0] == new["p_true"].min()
    wrong = {one.name: one.error for row in by_element(mistakes(said)) for one in row if one and one.n}
    assert wrong == {one["formula"]: one["wrong"] for one in new.to_dict("records")}
    assert of_classes.judge(run.report, "kind", said, None) is None


def test_the_nearest_are_so_in_the_mean_over_classes(class_run: ClassRun) -> None:
    model, data = class_run.run.model, class_run.run.data
    row = int(data.rows["test"][0])
    found = nearest_training(model, data, np.array([row]), target=0, k=3)
    every = data.part("train", "val", "test")
    apart = np.zeros(len(every.ids))
    for column in range(3):
        places = model.head.positions(every, column).detach()
        apart += (places - places[every.ids.index(data.ids[row])]).norm(dim=1).numpy() / 3
    learned = {*data.part("train", "val").ids}
    expected = sorted((far, name) for far, name in zip(apart, every.ids, strict=True) if name in learned)[:3]
    assert [found.ids[number] for number in found.numbers[0]] == [name for _, name in expected]
    np.testing.assert_allclose(found.distances[0], [far for far, _ in expected], rtol=1e-3)
    kinds = pd.read_json(class_run.data).set_index("material_id")["kind"]
    assert [model.classes[found.values[number]] for number in found.numbers[0]] == [kinds[name] for _, name in expected]


def test_many_classes_and_few_points(class_run: ClassRun, monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(of_classes, "COLOURED", 2)
    monkeypatch.setattr(moe_mat.pages.run_page, "MOST_POINTS", 20)
    page = write_run_page(RunSubject(**class_run.run.__dict__ | {"folder": tmp_path})).read_text(encoding="utf-8")
    assert "of 40 crystals are drawn" in page
    assert "its colour says whether the predicted class is right" in page
    assert 'data-plot="roc"' not in page


def test_the_page_in_a_browser(browser: Browser, class_run: ClassRun) -> None:  # noqa: F811
    page = class_run.folder / "report.html"
    browser.open(page, dark=False)
    panel = "return document.querySelector('[data-panel=\"0\"]').textContent"
    assert "Nearest crystals of the training" in browser.run(panel)
    x, y, name = browser.run_async(
        """const [done] = arguments, plot = crystals[0], part = plot.target.parts.test, [x, y] = plot.places(part);
        document.getElementById("crystals-0").scrollIntoView({behavior: "instant"});
        plot.view.then((view) => setTimeout(() => {
          const box = view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame;
          done([box.x + x_scale.compute(x[0]), box.y + y_scale.compute(y[0]), part.id[0]]);
        }, 200));"""
    )
    browser.run("crystals[0].panel.replaceChildren()")
    browser.click(x, y)
    browser.wait_for("return crystals[0].panel.querySelector('h3')?.textContent === arguments[0]", name)
    assert "probabilities" in browser.run(panel)
    assert browser.run("return document.querySelectorAll('[data-panel=\"0\"] tbody tr').length") == 5
    n = browser.run(
        "const cell = document.querySelector('[data-cell]'); cell.click(); return parseInt(cell.textContent)"
    )
    assert browser.run("return document.querySelector('#confusion-0 [data-told]').textContent").startswith(f"{n} drawn")
    browser.run("document.querySelector('#where-0 [data-element]').click()")
    assert "stand out in the plot" in browser.run("return document.querySelector('#where-0 [data-told]').textContent")
    assert browser.run("return document.querySelectorAll('[aria-pressed]').length") == 1
    assert HOSTILE in browser.run("return document.querySelector('#confusion-0 th.n:nth-child(2)').textContent")
    assert browser.run("return typeof window.hacked") == "undefined"
    browser.open(page, dark=True, width=400)
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    assert browser.problems == []
