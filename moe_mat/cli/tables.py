"""Tables in a terminal, a file or a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

# Of a table that goes to a file or a pipe: one line a row.
FILE_WIDTH = 220


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, and without broken lines where there is none."""
    console = Console()
    Console(width=None if console.is_terminal else max(console.width, FILE_WIDTH)).print(table)
