"""Pages of the navigation that are not written yet are left out of it."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

LATER = ["classification.md", "compositions.md", "explain.md", "report.md", "suggest.md", "tune.md"]


def on_config(config: MkDocsConfig) -> None:
    """Leave out those of LATER that are not there."""
    folder = Path(config.docs_dir)
    config.nav = [
        {title: [one for one in pages if one not in LATER or (folder / one).exists()]}
        for section in config.nav or []
        for title, pages in section.items()
    ]
