"""What lies outside docs/ and is read on the site too: the change log and the reports of the benchmark."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Folder or file of the checkout to where it is on the site. The first page stands for the README, whose table it has.
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/results/report": "benchmark/report",
    "benchmarks/results/report.md": "benchmark/report.md",
    "benchmarks/families": "benchmark/families",
    "benchmarks/speed": "benchmark/speed",
    "docs": "",
}
LINK = re.compile(r"(\]\()([^)\s#]+)")
TABLE = re.compile(r"<!-- benchmark table -->\n(.*?)<!-- end of benchmark table -->", flags=re.S)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages, and the pictures in them."""
    for source, place in PLACES.items():
        if source in ("README.md", "docs"):
            continue
        for path in (ROOT / source).rglob("*") if (ROOT / source).is_dir() else [ROOT / source]:
            if path.suffix in (".md", ".png"):
                uri = posixpath.normpath(posixpath.join(place, path.relative_to(ROOT / source).as_posix()))
                file = File.generated(config, uri, abs_src_path=str(path))
                file.inclusion = InclusionLevel.NOT_IN_NAV if uri.count("/") > 1 else InclusionLevel.INCLUDED
                files.append(file)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to what lies outside docs/ to its place, and put the README's table where a page asks for it."""
    (table,) = TABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    markdown = markdown.replace("<!-- benchmark table -->\n", table)
    folder, here = posixpath.dirname(_source(page.file)), posixpath.dirname(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        place = _place(posixpath.normpath(posixpath.join(folder, link[2])))
        return link[0] if place is None else link[1] + posixpath.relpath(place, here or ".")

    return LINK.sub(led, markdown)


def _source(file: File) -> str:
    """Path in the checkout of what became a page; of a page that is generated, the one that it would have in docs/."""
    path = Path(file.abs_src_path) if file.abs_src_path else Path()
    return path.resolve().relative_to(ROOT).as_posix() if path.is_file() else f"docs/{file.src_uri}"


def _place(source: str) -> str | None:
    """Where a file of the checkout is on the site, if it is."""
    if source in PLACES:
        return PLACES[source]
    for folder, place in PLACES.items():
        if source.startswith(f"{folder}/"):
            return posixpath.normpath(posixpath.join(place, posixpath.relpath(source, folder)))
    return None
