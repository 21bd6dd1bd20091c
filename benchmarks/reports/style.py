"""What all figures share: colours, and how they are written."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from moe_mat.files import whole_file

COLOURS = ("#1f5f8b", "#e0a458", "#5a9e6f", "#b5515c", "#7a6fae", "#6b7885", "#c9789b", "#3aa6a6", "#8c6d46")
INK, GRID = "#1c2733", "#e3e8ed"

P = ParamSpec("P")


def drawn(draw: Callable[P, tuple[Figure, Path]]) -> Callable[P, None]:
    """Draw with one set of fonts and colours, whatever the user's own, and write the file."""
    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.labelcolor": INK,
        "text.color": INK,
        "axes.edgecolor": "#8a97a3",
        "axes.titlesize": 9,
    }

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        with mpl.rc_context(style):
            figure, path = draw(*args, **kwargs)
            content = io.BytesIO()
            figure.savefig(content, dpi=150)
        # A palette of 256 colours, enough for these, makes a file of a third of the size.
        with Image.open(content) as image, whole_file(path) as part:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(part, format="png", optimize=True)

    return wrapped


def colour(number: int) -> str:
    """Of something that is counted from 0."""
    return COLOURS[number % len(COLOURS)]
