"""The report as one page to look at, which needs no network: sections, plots, and the appendices folded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from benchmarks.reports.document import Document, Picture, anchor
from benchmarks.reports.drawn import drawn
from benchmarks.reports.findings import Findings
from benchmarks.reports.first_page import CONTENTS, MAIN_TABLE, shown_methods
from moe_mat.files import data_folder
from moe_mat.pages import render

LARGEST = 5_000_000
# Crystals that are drawn of a task.
MOST_CRYSTALS = 500
FOLDER = Path(__file__).parent


def page_of(found: Findings, first: Document, appendices: Mapping[str, Document]) -> str:
    """The page as HTML; where it would be larger than 5 MB, fewer crystals are drawn.

    Args:
        found: What plots are made from.
        first: What is open.
        appendices: Name for links to document.
    """
    intro, *sections = first.split()
    content: dict[str, Any] = {
        "title": first.title,
        "intro": Markup(intro.html()),
        "sections": [
            {
                "title": one.title,
                "id": f"first--{anchor(one.title)}",
                "html": Markup(one.html()),
                "plots": one.title == MAIN_TABLE,
            }
            for one in sections
            if one.title != CONTENTS
        ],
        "appendices": [
            {"id": name, "title": page.title.replace("`", ""), "html": Markup(page.html(name=name, below=1))}
            for name, page in appendices.items()
            if not all(isinstance(block, Picture) and block.of_markdown for block in page.blocks)
        ],
    }
    shown, data, most = shown_methods(found), data_folder(), MOST_CRYSTALS
    while True:
        page = render("page.html", content, data=drawn(found, shown=shown, most=most, data=data), folder=FOLDER)
        if len(page.encode()) < LARGEST or most < 50:
            return page
        most //= 2
