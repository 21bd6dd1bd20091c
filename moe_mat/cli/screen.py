"""What a command says: to people on a screen, or as JSON to a program, or nothing."""

from __future__ import annotations

import json
import math
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console, RenderableType
from rich.table import Table

from moe_mat.files.whole import naming

Manner = Literal["normal", "quiet", "verbose", "json"]
Facts = Mapping[str, object]
"""What a command has done, as plain data."""


class PartlyFailedError(ValueError):
    """A command that has tried all it was asked to, and some of it failed.

    Args:
        message: Which.
        facts: What became of each.
    """

    def __init__(self, message: str, facts: Facts) -> None:
        super().__init__(message)
        self.facts = facts


# Of a table that goes to a file or a pipe: one line a row.
FILE_WIDTH = 220
STDOUT = Path("standard output")


class _Console(Console):
    """One that leaves it to others what becomes of a command whose reader has ended."""

    def on_broken_pipe(self) -> None:
        raise


class Screen:
    """Where all commands print; see ``screen``."""

    def __init__(self) -> None:
        self.manner: Manner = "normal"
        self._beside = False

    @contextmanager
    def speaking(self, manner: Manner) -> Iterator[None]:
        """Speak in a manner, for one command."""
        self.manner, self._beside = manner, False
        try:
            yield
        finally:
            self.manner, self._beside = "normal", False

    def leave_stdout_to(self, path: str | os.PathLike[str]) -> None:
        """Say all on standard error when a file that a command writes is standard output.

        Raises:
            ValueError: When the JSON is to go there too.
        """
        try:
            same = os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
        except (OSError, ValueError, AttributeError):  # no such file, or no standard output
            return
        if same and self.manner == "json" and not Path(path).is_file():
            raise ValueError(f"--output {path} and --json both write to standard output: leave out one")
        self._beside = same

    @property
    def stream(self) -> TextIO:
        """Where people read."""
        return sys.stderr if self._beside else sys.stdout

    def nobody_reads(self) -> bool:
        """Whether standard output is a pipe whose reader has ended."""
        try:
            pipe = select.poll()
            pipe.register(sys.stdout, 0)
            return any(what & select.POLLERR for _, what in pipe.poll(0))
        except (OSError, ValueError, AttributeError):  # no such system call, or no standard output
            return False

    @property
    def _silent(self) -> bool:
        return self.manner in ("quiet", "json")

    def print(self, *what: RenderableType, **style: Any) -> None:
        """Print by rich, as `rich.console.Console.print`."""
        with naming(STDOUT):
            _Console(file=self.stream, quiet=self._silent).print(*what, **style)

    def text(self, text: str) -> None:
        """Write a line as it is."""
        if not self._silent:
            with naming(STDOUT):
                self.stream.write(f"{text}\n")

    def table(self, table: Table) -> None:
        """Print a table as wide as the terminal, and without broken lines where there is none."""
        console = _Console(file=self.stream, quiet=self._silent)
        width = None if console.is_terminal else max(console.width, FILE_WIDTH)
        with naming(STDOUT):
            _Console(file=self.stream, quiet=self._silent, width=width).print(table)

    def facts(self, facts: Facts) -> None:
        """Write what was done as JSON, where that is wanted, and all that is not written yet."""
        with naming(STDOUT):
            if self.manner == "json":
                sys.stdout.write(json.dumps(plain(facts), allow_nan=False) + "\n")
            sys.stdout.flush()


screen = Screen()
"""The one of this process."""


def plain(value: object) -> object:
    """Plain data in JSON's types: numbers that are none are null, paths are text."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):  # of numpy
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
