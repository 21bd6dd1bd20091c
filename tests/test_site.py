"""The site: it builds without a warning, its anchors are there, and nothing in it comes from the network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moe_mat import list_experts

pytest.importorskip("material", reason="the extra docs is not installed")
build = pytest.importorskip("mkdocs.commands.build")
config = pytest.importorskip("mkdocs.config")
ROOT = Path(__file__).parents[1]
FOREIGN = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a link, an anchor or a page of the navigation that is not there ends the build."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build.build(config.load_config(str(ROOT / "docs" / "site" / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_pages_are_whole(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<!-- experts -->" not in text
        assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>", text), (
            page.name
        )


def test_the_gallery_has_every_expert_and_its_tiers(site: Path) -> None:
    text = (site / "gallery.html").read_text(encoding="utf-8")
    assert re.findall(r'<details class="?expert"? id="?([\w.-]+)', text) == list_experts()
    (magpie,) = re.findall(r'<details[^>]*id="?magpie"?.*?</details>', text, flags=re.S)
    assert 'data-tiers="light default composition all"' in magpie
    assert all(fact in magpie for fact in ("132 columns", "composition", "5,000 random crystals", "MIT", "npj"))


def test_the_reference_has_what_the_package_exports(site: Path) -> None:
    text = (site / "reference.html").read_text(encoding="utf-8")
    names = re.findall(r'^    "(\w+)",$', (ROOT / "moe_mat" / "__init__.pyi").read_text(encoding="utf-8"), flags=re.M)
    assert not [name for name in names if f'id="moe_mat.{name}"' not in text]
    assert 'href="reference/zoo.html"' in text
    assert 'id="moe_mat.zoo.find_cards"' in (site / "reference" / "zoo.html").read_text(encoding="utf-8")


def test_the_first_page_has_the_table_of_the_readme(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "Experimental formation enthalpy" in text
    assert (site / "benchmark" / "report" / "figures" / "relative.png").is_file()
