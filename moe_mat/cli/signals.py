"""Signals that end a command: each is an exception, which unwinds it, so that nothing is left half-written."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
# timeout(1) sends a signal twice: to its child, and to the group that this is in.
REPEATED_WITHIN = 1.0


class Stopped(BaseException):
    """A signal has come.

    Args:
        number: Of the signal.

    Attributes:
        advice: How to go on, if a command knows.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.advice = "the same command goes on with the embeddings and checkpoints that are kept"

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}; {self.advice}"

    @property
    def status(self) -> int:
        """The exit status, as shells count it."""
        return 128 + self.number


def stopped_behind(error: BaseException | None) -> Stopped | None:
    """The signal that an error comes from: Python and libraries raise another one where they are interrupted."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def signals_as_exceptions(*, ignored_after: bool = False) -> Iterator[None]:
    """Raise `Stopped` where the program is when a signal comes; one that is ignored (nohup) stays so.

    Args:
        ignored_after: Whether a signal means nothing afterwards, because all is done and the process ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, last = os.getpid(), -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != process:  # a child, which is not ours to unwind
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        now = time.monotonic()
        if now - last >= REPEATED_WITHIN:
            last = now
            raise Stopped(number)

    def again(unraisable: Any) -> None:
        """Python cannot raise from where an object is being deleted: try a moment later."""
        nonlocal last
        if not isinstance(unraisable.exc_value, Stopped):
            hook(unraisable)
            return
        last = -math.inf
        timer = threading.Timer(0.01, os.kill, (process, unraisable.exc_value.number))
        timer.daemon = True
        timer.start()

    before = {number: signal.getsignal(number) for number in ENDING}
    hook = sys.unraisablehook
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, stop)
        sys.unraisablehook = again
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ignored_after else handler)
