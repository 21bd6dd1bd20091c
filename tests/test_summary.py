"""The README says of the benchmark what the committed cells say."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from benchmarks.methods.cards import learned_from, list_methods
from benchmarks.reports.labels import NOTES
from benchmarks.summary import summary
from moe_mat.tasks import TaskCards

README = Path(__file__).parents[1] / "README.md"


def test_the_table_of_the_readme_and_its_counts_are_those_of_the_cells() -> None:
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- benchmark table -->\n(.*)<!-- end of benchmark table -->", text, flags=re.S)
    assert block == summary(), "python -m benchmarks.summary writes the block anew"


def test_every_method_says_what_it_learns_from() -> None:
    assert {
        name: learned_from(name) for name in list_methods() if learned_from(name) not in ("train", "train+val")
    } == {}
    assert learned_from("tl:best") == "train"
    assert learned_from("somebody's") == ""


def test_suspect_labels_are_of_tasks_and_name_their_formula() -> None:
    notes = yaml.safe_load(NOTES.read_text(encoding="utf-8"))
    assert set(notes) <= set(TaskCards().names())
    assert all(re.match(r"[A-Z][\w()]*: \S", note) for of_task in notes.values() for note in of_task.values())
