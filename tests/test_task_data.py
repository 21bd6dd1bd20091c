"""The commands on the data of the tasks: what is prepared, fetched and built."""

import re

import pandas as pd
import pytest
from toy_benchmark import write_tasks

from moe_mat import tasks
from moe_mat.cli.dispatch import run
from moe_mat.tasks import TaskCards, build, describe_task, fetch_sources


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The folder of the data of the toy tasks, which are those of the command line."""
    cards, data = write_tasks(tmp_path)
    monkeypatch.setattr(tasks, "TaskCards", lambda: TaskCards(cards))
    return data


def test_sources_of_a_task_are_fetched_once_with_those_it_joins(monkeypatch, tmp_path):
    fetched = []
    monkeypatch.setattr(build, "fetch_matminer", lambda name: fetched.append(name) or tmp_path / name)
    fetch_sources(["expt_*", "mp_poly_*", "elastic_tensor_2015"], TaskCards())
    assert fetched == [
        "expt_gap_kingsbury",
        "mp_all_20181018",
        "expt_formation_enthalpy_kingsbury",
        "dielectric_constant",
        "elastic_tensor_2015",
    ]


def test_what_is_prepared_is_described(toy):
    gap, volume = tasks.TaskCards().find()
    path = toy / "benchmark" / "toy_gap.parquet"
    found = describe_task(gap, toy)
    assert (found.rows, found.splits) == ("as on the card", "seeded, 70/15/15")
    assert re.match(r"toys0 of matminer \d", found.origin)
    (toy / "splits").mkdir()
    (toy / "splits" / "toy_gap.json").write_text("{}")
    assert describe_task(gap, toy).splits == "published"
    pd.read_parquet(path)[1:].to_parquet(path)
    found = describe_task(gap, toy)
    assert (found.rows, found.origin) == ("39 rows where the card says 40", "given")
    assert found.splits == "seeded, 70/15/15"  # the published ones count other rows
    path.write_text("<html>")
    assert describe_task(gap, toy).rows.startswith("damaged")
    path.unlink()
    assert describe_task(gap, toy).rows == "not prepared"
    assert describe_task(volume, toy).rows == "as on the card"


def test_preparing_tries_all_and_names_the_failed(toy, monkeypatch, capsys):
    def build_task(card, folder):
        if card.name == "toy_gap":
            raise ValueError("the download is an HTML page")
        return folder / card.name

    monkeypatch.setattr(tasks, "build_task", build_task)
    with pytest.raises(ValueError, match="1 tasks failed: toy_gap"):
        run(["data", "prepare", "--data", str(toy)])
    said = capsys.readouterr().out
    assert "FAILED  toy_gap: the download is an HTML page" in said
    assert f"ok      {toy / 'toy_volume'}" in said


def test_list_says_where_everything_comes_from(toy, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "250")
    run(["data", "list", "toy_gap", "--data", str(toy)])
    said = capsys.readouterr().out
    for text in ("toy_gap", "toys0", "40", "as on the card", "seeded, 70/15/15", "published rows"):
        assert text in said
