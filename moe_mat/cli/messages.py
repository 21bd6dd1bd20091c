"""Messages on standard error: the log, and warnings of libraries, each kind counted and told once."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler

from moe_mat.cli.screen import Manner

logger = logging.getLogger(__name__)

# Loggers that advertise, or say what the command says already, below this level.
_NOISE = {
    "moe_mat.zoo.cache": logging.WARNING,  # its hits and misses come summed up
    "pytorch_lightning.utilities.rank_zero": logging.WARNING,
    "pytorch_lightning.trainer.connectors.signal_connector": logging.WARNING,
    "lightning_fabric.utilities.seed": logging.WARNING,
}
_LEVELS: dict[Manner, int] = {"normal": logging.INFO, "json": logging.INFO, "quiet": logging.WARNING}
_MEANT = (
    "`isinstance\\(treespec, LeafSpec\\)",
    "Be aware that when using `ckpt_path`, callbacks",
    "No Pauling",
    "Found \\d+ module\\(s\\) in eval mode",  # frozen statistics are meant
)


class _Lines(logging.Handler):
    """One line a message, in a file or a pipe."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{record.levelname.lower()}: {self.format(record)}\n")
        except Exception:
            self.handleError(record)


def configure_log(manner: Manner) -> None:
    """Say as much as is wanted."""
    terminal = sys.stderr.isatty()
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False) if terminal else _Lines()
    logging.basicConfig(format="%(message)s", handlers=[handler])
    logging.getLogger("moe_mat").setLevel(_LEVELS.get(manner, logging.DEBUG))
    for name, level in _NOISE.items():
        logging.getLogger(name).setLevel(logging.INFO if manner == "verbose" else level)


@contextmanager
def counted_warnings() -> Iterator[None]:
    """Gather warnings, and say at the end how often each kind came; those that differ in numbers are of one kind."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}

    def gather(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        kind = re.sub(r"\d+(\.\d+)?", "#", text)
        counts[kind] += 1
        first.setdefault(kind, text)
        logger.debug("%s:%d: %s", filename, lineno, text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", append=True)  # or Python would count each line of code once
        for message in _MEANT:
            warnings.filterwarnings("ignore", message=message)
        warnings.showwarning = gather
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):  # a signal ends with one line
                _tell(counts, first)
            raise
        _tell(counts, first)


def _tell(counts: Counter[str], first: dict[str, str]) -> None:
    for kind, count in counts.items():
        logger.warning("%s%s", first[kind], f" ({count} warnings of this kind)" if count > 1 else "")
