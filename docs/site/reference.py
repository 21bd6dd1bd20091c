"""The reference: a page for each room, of the names that it exports, and the table that leads to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
MARK = "<!-- table of rooms -->"
ROOM = re.compile(r"^\| `(\w+)/` \|", flags=re.M)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages of the rooms."""
    for room, names in rooms():
        parts = [f"# moe_mat.{room}", *(f"::: moe_mat.{room}.{name}" for name in names)]
        uri, level = f"reference/{room}.md", InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, uri, content="\n\n".join(parts) + "\n", inclusion=level))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the README's table of rooms, with links, where a page asks for it."""
    if MARK not in markdown:
        return markdown
    pages = {room for room, _ in rooms()}

    def linked(row: re.Match[str]) -> str:
        return f"| [`{row[1]}/`](reference/{row[1]}.md) |" if row[1] in pages else row[0]

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| room \|.*?\n(?!\|)", readme, flags=re.M | re.S)
    return markdown.replace(MARK, ROOM.sub(linked, table))


def rooms() -> Iterator[tuple[str, list[str]]]:
    """Each room that exports something but commands, and the names."""
    for stub in sorted((ROOT / "moe_mat").glob("*/__init__.pyi")):
        (names,) = (
            ast.literal_eval(node.value)
            for node in ast.parse(stub.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign)
        )
        if stub.parent.name != "cli":
            yield stub.parent.name, names
