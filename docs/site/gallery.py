"""The gallery of experts, made from their cards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from moe_mat.experts import TIERS

from moe_mat.zoo import EncoderCard, ExpertCard, ModuleCard, NetworkCard, find_cards

MARK = "<!-- experts -->"
TOOLS = """<div class="gallery-tools" hidden>
<input type="search" id="gallery-words" placeholder="band gap jarvis" aria-label="Words of a card">
<select id="gallery-tier" aria-label="Tier"><option value="">any tier</option>{tiers}</select>
<select id="gallery-kind" aria-label="Kind"><option value="">any kind</option>{kinds}</select>
<output id="gallery-count"></output>
</div>"""


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the gallery where a page asks for it."""
    return html.replace(MARK, gallery()) if MARK in html else html


def gallery() -> str:
    """All cards of the package as HTML."""
    cards = find_cards("*")
    tiers = {tier: {card.tag for card in find_cards(tier)} for tier in TIERS}
    tools = TOOLS.format(tiers=_options(TIERS), kinds=_options(sorted({_kind(card) for card in cards})))
    entries = (_entry(card, [tier for tier, tags in tiers.items() if card.tag in tags]) for card in cards)
    return f'{tools}\n<div class="gallery">\n{"".join(entries)}</div>'


def _entry(card: ExpertCard, tiers: list[str]) -> str:
    facts = [
        ("reads", _reads(card)),
        ("trained on", _source(card.source)),
        ("validation MAE", _error(card)),
        ("weights", _weights(card)),
        ("licence", card.license),
        ("cite", "; ".join([card.citation] if isinstance(card.citation, str) else card.citation)),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts if value)
    chips = "".join(f'<span class="chip chip-{one}">{one}</span>' for one in tiers[:1])
    return (
        f'<details class="expert" id="{card.tag}" data-kind="{_kind(card)}" data-tiers="{" ".join(tiers)}">'
        f"<summary><code>{card.tag}</code> <span class=what>{escape(_what(card))}</span> "
        f'<span class="chips">{chips}<span class="chip">{card.dim} columns</span></span></summary>'
        f"<dl>{rows}</dl></details>\n"
    )


def _kind(card: ExpertCard) -> str:
    if isinstance(card, NetworkCard):
        return "network"
    return "module" if isinstance(card, ModuleCard) else "encoder"


def _what(card: ExpertCard) -> str:
    """What an expert predicts or computes: the title before the data set, which has a line of its own."""
    return card.title.partition(";")[0] if isinstance(card.source, dict) else card.title


def _reads(card: ExpertCard) -> str:
    if isinstance(card, NetworkCard):
        return "embeddings of " + ", ".join(card.trunk)
    if isinstance(card, ModuleCard):
        return f"crystals, by {card.encoder}: {card.module.kind} module of {card.module.backbone}"
    return f"crystals, by {card.encoder}: {', '.join(card.readout.layers)}" if isinstance(card, EncoderCard) else ""


def _source(source: str | dict[str, Any] | None) -> str:
    if not isinstance(source, dict):
        return source or ""
    parts = source if "dataset" not in source else {"": source}
    found = [one for one in parts.values() if isinstance(one, dict) and "dataset" in one]
    return "; ".join(f"{one['dataset']}, {one.get('crystals', 0):,} crystals" for one in found)


def _error(card: ExpertCard) -> str:
    error, median = card.metrics.get("validation_mae"), card.metrics.get("validation_median_mae")
    if error is None:
        return ""
    beside = f" (always the median: {median:.3g})" if median is not None else ""
    return f"{error:.3g} {card.unit or ''}".strip() + beside


def _weights(card: ExpertCard) -> str:
    return f"{card.weights_file.name}, {card.weights_file.stat().st_size / 1000:,.0f} kB" if card.weights_file else ""


def _options(values: Iterable[str]) -> str:
    def lines() -> Iterator[str]:
        for value in values:
            yield f"<option>{value}</option>"

    return "".join(lines())
