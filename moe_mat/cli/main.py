"""The entry point of ``moe-mat``; from the first moment on, a signal ends it in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from moe_mat.cli.signals import Stopped, signals_as_exceptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    try:
        with signals_as_exceptions():
            from moe_mat.cli.session import run_session  # takes a moment in which a signal may come

            return run_session(list(sys.argv[1:] if arguments is None else arguments))
    except Stopped as stopped:
        sys.stderr.write(f"moe-mat: {stopped}\n")
        return stopped.status
