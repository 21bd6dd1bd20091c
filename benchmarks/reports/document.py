"""A document of headings, text, lists, tables and pictures, written as Markdown or as one HTML file."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1200px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8dfe6; padding-bottom: .3rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .65rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e7ecf0 }
th:first-child, td:first-child, td.text, th.text { text-align: left } td.text { white-space: normal }
thead th { border-bottom: 2px solid #1f5f8b } tbody tr:hover { background: #f4f8fb }
figure { margin: 1.5rem 0 } img { max-width: 100% } figcaption { color: #5b6b7a; font-size: 13px }
code { background: #f0f3f6 }
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

    def markdown(self, folder: Path) -> str:
        """The document as Markdown; pictures are named relative to a folder."""
        parts = [f"# {self.title}"]
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
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The document as one HTML file, pictures included."""
        parts = [f"<h1>{_inline(self.title)}</h1>"]
        for block in self.blocks:
            match block:
                case (int() as level, str() as text):
                    parts.append(f"<h{level}>{_inline(text)}</h{level}>")
                case str():
                    parts.append(f"<p>{_inline(block)}</p>")
                case list():
                    parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block) + "</ul>")
                case Table():
                    parts.append(_html_table(block))
                case Picture():
                    data = base64.b64encode(block.path.read_bytes()).decode()
                    caption = _inline(block.caption)
                    image = f'<img alt="{html.escape(block.caption)}" src="data:image/png;base64,{data}">'
                    parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
        head = f'<meta charset="utf-8"><title>{html.escape(self.title)}</title><style>{STYLE}</style>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


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
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escaped)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escaped)
