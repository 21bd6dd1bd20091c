"""A document of headings, text, lists, tables and pictures, written as Markdown or as part of an HTML file."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

# A link in a text to a page of the same report, or to a section of it: [text](page:name) or [text](page:name#section).
LINK = re.compile(r"\[([^\]]+)\]\(page:([\w-]+)(?:#([\w-]+))?\)")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1200px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8dfe6; padding-bottom: .3rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .65rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e7ecf0 }
th:first-child, td:first-child, td.text, th.text { text-align: left }
td.text { white-space: normal; min-width: 9rem; vertical-align: top }
thead th { border-bottom: 2px solid #1f5f8b } tbody tr:hover { background: #f4f8fb }
figure { margin: 1.5rem 0 } img { max-width: 100% } figcaption { color: #5b6b7a; font-size: 13px }
code { background: #f0f3f6 } a { color: #1f5f8b }
summary { cursor: pointer; border-bottom: 1px solid #d8dfe6; padding: .4rem 0 }
summary h2 { display: inline; border: 0; font-size: 1.1rem }
section, h3 { scroll-margin-top: 3.5rem }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; cells may have ``**bold**`` and `` `code` `` in them.

    Attributes:
        header: titles of the columns.
        rows: of equal length.
        text: columns that hold text and not numbers; the first always does.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file with a caption."""

    path: Path
    caption: str


@dataclass
class Document:
    """Blocks in their order.

    Attributes:
        title: of the whole.
        blocks: headings as (level, text), paragraphs as text, bullets as lists, tables, pictures.
    """

    title: str
    blocks: list[tuple[int, str] | str | list[str] | Table | Picture] = field(default_factory=list)

    def add(self, *blocks: tuple[int, str] | str | list[str] | Table | Picture) -> None:
        """Append blocks."""
        self.blocks.extend(blocks)

    @property
    def sections(self) -> list[str]:
        """The headings of level two."""
        return [block[1] for block in self.blocks if isinstance(block, tuple) and block[0] == 2]

    def markdown(self, folder: Path, *, pages: str = "", above: str = "") -> str:
        """The document as Markdown.

        Args:
            folder: pictures are named relative to it.
            pages: what links put before the name of another page's file.
            above: a line between the title and the first block.
        """
        parts = [f"# {self.title}", *([above] if above else [])]
        for block in self.blocks:
            match block:
                case (int() as level, str() as text):
                    parts.append(f"{'#' * level} {text}")
                case str():
                    parts.append(block)
                case list():
                    parts.append("\n".join(f"* {item}" for item in block))
                case Table():
                    marks = [":---" if i == 0 or name in block.text else "---:" for i, name in enumerate(block.header)]
                    lines = [block.header, marks, *block.rows]
                    parts.append("\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines))
                case Picture():
                    name = os.path.relpath(block.path, folder).replace(os.sep, "/")
                    parts.append(f"![{block.caption}]({name})\n\n*{block.caption}*")
        return LINK.sub(lambda m: f"[{m[1]}]({pages}{m[2]}.md{f'#{m[3]}' if m[3] else ''})", "\n\n".join(parts)) + "\n"

    def html(self, *, name: str = "", below: int = 0) -> str:
        """The blocks as HTML, pictures included.

        Args:
            name: of this page, for links to its sections.
            below: by how much headings are lowered, where the document is a part of another.
        """
        parts = []
        for block in self.blocks:
            match block:
                case (int() as level, str() as text):
                    place = f"{name}--{anchor(text)}"
                    parts.append(f'<h{level + below} id="{place}">{_inline(text)}</h{level + below}>')
                case str():
                    parts.append(f"<p>{_inline(block)}</p>")
                case list():
                    parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block) + "</ul>")
                case Table():
                    parts.append(_html_table(block))
                case Picture():
                    parts.append(_html_picture(block))
        return "\n".join(parts)


def html_file(first: Document, folded: Mapping[str, Document]) -> str:
    """One HTML file: a document, and others folded below it.

    Args:
        first: what is open.
        folded: name for links -> document.
    """
    parts = [f"<h1>{_inline(first.title)}</h1>", first.html()]
    for name, page in folded.items():
        # The link's target is inside, so that browsers unfold the page that a link leads to.
        body = f'<section id="{name}">\n{page.html(name=name, below=1)}\n</section>'
        parts.append(f"<details><summary><h2>{_inline(page.title)}</h2></summary>\n{body}</details>")
    head = f'<meta charset="utf-8"><title>{html.escape(first.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def anchor(heading: str) -> str:
    """The name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _html_picture(picture: Picture) -> str:
    with Image.open(picture.path) as image:
        # Pictures are drawn with 150 pixels an inch, for sharp print; a screen's inch has 96.
        size = f'width="{image.width * 96 // 150}"'
    data = base64.b64encode(picture.path.read_bytes()).decode()
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" {size} src="data:image/png;base64,{data}">'
        f"<figcaption>{_inline(picture.caption)}</figcaption></figure>"
    )


def _html_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        classes = [' class="text"' if name in table.text else "" for name in table.header]
        return (
            "<tr>" + "".join(f"<{tag}{c}>{_inline(x)}</{tag}>" for x, c in zip(cells, classes, strict=True)) + "</tr>"
        )

    body = "".join(row(cells, "td") for cells in table.rows)
    return f'<div class="scroll"><table><thead>{row(table.header, "th")}</thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = LINK.sub(lambda m: f'<a href="#{m[2]}{f"--{m[3]}" if m[3] else ""}">{m[1]}</a>', escaped)
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escaped)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escaped)
