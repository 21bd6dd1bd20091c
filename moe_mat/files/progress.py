"""How far long work is: a bar on a terminal, a line now and then elsewhere, and nothing of what is done at once."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich import progress
from rich.console import Console

logger = logging.getLogger(__name__)

# Work of a few seconds is not worth a bar.
PATIENCE = 3.0
# Seconds between two lines in a log.
INTERVAL = 30.0


class Progress:
    """Of one piece of work; a context manager.

    Lines go to the log of this module, so that who silences it sees no bar either.

    Args:
        what: What is done, such as ``"embedding crystals"``.
        total: How much there is to do, where that is known.

    Example:
        >>> with Progress("counting", total=3) as work:
        ...     for _ in range(3):
        ...         work.advance()
        >>> work.done
        3
    """

    def __init__(self, what: str, *, total: int | None = None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._bar: progress.Progress | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> Progress:
        self._console = Console(stderr=True)
        self._shown = time.monotonic()
        return self

    def advance(self, count: int = 1) -> None:
        """Say that some more of the work is done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total)
            return
        waited = time.monotonic() - self._shown
        if waited < PATIENCE or not logger.isEnabledFor(logging.INFO):
            return
        if self._console.is_terminal:
            self._start()
        elif waited >= INTERVAL:
            self._shown += waited
            logger.info("%s: %s", self.what, self.done if self.total is None else f"{self.done} of {self.total}")

    def _start(self) -> None:
        columns = progress.Progress.get_default_columns()
        shown = columns if self.total is not None else (columns[0], "{task.completed}")
        self._bar = progress.Progress(*shown, console=self._console, transient=True)
        self._task = self._bar.add_task(self.what, total=self.total, completed=self.done)
        self._bar.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
