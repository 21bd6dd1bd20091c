"""Templates become pages: everything is inlined, and what comes from data is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

# Of the plotting library: what draws, and what makes figures of JavaScript.
BOKEH_SCRIPTS = ("bokeh.min.js", "bokeh-api.min.js")
NOTHING = "\N{EN DASH}"
HERE = Path(__file__).parent


def render(
    template: str, content: Mapping[str, Any], *, data: object = None, plots: bool = True, folder: Path = HERE
) -> str:
    """A page as HTML.

    Args:
        template: Its file.
        content: What the template names; text is escaped where it is put in.
        data: What the page's script works on, as plain data.
        plots: Whether the script draws, which takes 1.4 MB.
        folder: Of the template and what it inlines; what is not there is taken from this room.

    Raises:
        ImportError: When the plotting library is not installed.
    """
    scripts = [Markup(_bokeh(name)) for name in BOKEH_SCRIPTS] if plots else []
    return _environment(folder).get_template(template).render(**content, bokeh=scripts, drawn=_as_json(data))


@cache
def _environment(folder: Path) -> Environment:
    loader = FileSystemLoader([folder, HERE])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    environment.globals["asset"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment


def _bokeh(name: str) -> str:
    """A script of Bokeh, whose Python takes a second to import and is not needed."""
    found = find_spec("bokeh")
    if found is None or not found.submodule_search_locations:
        raise ImportError("bokeh is not installed: pip install bokeh")
    folder = Path(found.submodule_search_locations[0]) / "server" / "static" / "js"
    # Within a page, this would end the script.
    return (folder / name).read_text(encoding="utf-8").replace("</script", "<\\/script")


def _as_json(data: object) -> Markup:
    """JSON that may stand in a script of a page."""
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _plain(value: Any) -> Any:
    """In JSON's types: five digits are enough to draw, and numbers that are none are null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def number(value: float | None, digits: int = 3) -> str:
    """A number to be read, with so many digits.

    Example:
        >>> number(0.123456), number(1234.5), number(float("nan"))
        ('0.123', '1,234', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if 10 ** (digits - 1) <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if value else "0"


def percent(share: float | None) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.256), percent(0.0004)
        ('26 %', '<1 %')
    """
    if share is None or not math.isfinite(share):
        return NOTHING
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
