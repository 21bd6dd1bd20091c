"""The entry point of ``moe-mat``; from the first moment on, a signal ends it in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from moe_mat.cli.signals import signals_as_exceptions, stopped_behind
from moe_mat.files.allocator import keep_freed_memory


def entry() -> NoReturn:
    """Be the command ``moe-mat``."""
    sys.exit(main(is_process=True))


def main(arguments: Sequence[str] | None = None, *, is_process: bool = False) -> int:
    """Run a command; returns the exit status.

    Args:
        arguments: In place of those of the process.
        is_process: Whether the process ends when the command does.
    """
    try:
        with signals_as_exceptions(ignored_after=is_process):
            from moe_mat.cli.session import run_session  # takes a moment in which a signal may come

            if is_process:
                keep_freed_memory()
            return run_session(list(sys.argv[1:] if arguments is None else arguments))
    except BaseException as error:
        stopped = stopped_behind(error)
        if stopped is None:
            raise
        sys.stderr.write(f"moe-mat: {stopped}\n")
        return stopped.status
