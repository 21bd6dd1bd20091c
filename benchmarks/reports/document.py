"""A document of headings, text, lists, tables and pictures, written as Markdown or as part of an HTML file."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

# A link in a text to a page of the same report, or to a section of it: [text](page:name) or [text](page:name#section).
LINK = re.compile(r"\[([^\]]+)\]\(page:([\w-]+)(?:#([\w-]+))?\)")


@dataclass(frozen=True, slots=True)
class Table:
    """A table; cells may have ``**bold**`` and `` `code` `` in them.

    Attributes:
        header: titles of the columns.
        rows: of equal length.
        text: columns that hold text and not numbers; the first always does.
        n_heads: how many rows at the top say what the columns are, and stay there when a page sorts the others.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str] = ()
    n_heads: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file with a caption.

    Attributes:
        path: of the file.
        caption: below it.
        of_markdown: whether the HTML page has a plot of its own in its place.
    """

    path: Path
    caption: str
    of_markdown: bool = False


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

    def split(self) -> list[Document]:
        """What stands above the first heading of level two, and a document for each, of which it is the title."""
        parts = [Document(self.title)]
        for block in self.blocks:
            if isinstance(block, tuple) and block[0] == 2:
                parts.append(Document(block[1]))
            else:
                parts[-1].add(block)
        return parts

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
                case Picture() if not block.of_markdown:
                    parts.append(_html_picture(block))
        return "\n".join(parts)


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
    numbers = [place > 0 and name not in table.text for place, name in enumerate(table.header)]

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="n"' if number else "" for number in numbers]
        return "<tr>" + "".join(f"<{tag}{c}>{_inline(x)}</{tag}>" for x, c in zip(cells, kinds, strict=True)) + "</tr>"

    heads = row(table.header, "th") + "".join(row(cells, "td") for cells in table.rows[: table.n_heads])
    body = "".join(row(cells, "td") for cells in table.rows[table.n_heads :])
    return f'<div class="wide"><table class="sortable"><thead>{heads}</thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = LINK.sub(lambda m: f'<a href="#{m[2]}{f"--{m[3]}" if m[3] else ""}">{m[1]}</a>', escaped)
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escaped)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escaped)
