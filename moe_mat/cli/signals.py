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
# Where nothing can be raised now, it may be possible in a moment.
RETRIED_AFTER = 0.02
# A library may have caught what was raised, and the program goes on.
SWALLOWED_AFTER = 15.0

# Signals that have come since signals are exceptions, the first one first.
_come: list[int] = []
# Whether the user is told that one has ended the command: those after it change nothing.
_told = threading.Event()


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


def signal_that_came() -> Stopped | None:
    """The signal that should have ended the command: it waits for the end of an import, or a library has caught it."""
    return Stopped(_come[0]) if _come else None


def tell_no_other() -> None:
    """Ignore the signals that come from now on: the command ends by one already."""
    _told.set()


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: extensions (torch) go on with half of one where they are interrupted."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


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
    timers: list[threading.Timer] = []

    def send_again(number: int, *, seconds: float) -> None:
        timers.append(threading.Timer(seconds, os.kill, (process, number)))
        timers[-1].daemon = True
        timers[-1].start()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != process:  # a child, which is not ours to unwind
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if _told.is_set() or time.monotonic() - last < REPEATED_WITHIN:
            return
        _come.append(number)
        if _imports(frame):
            send_again(number, seconds=RETRIED_AFTER)
        else:
            last = time.monotonic()
            send_again(number, seconds=SWALLOWED_AFTER)
            raise Stopped(number)

    def retry(unraisable: Any) -> None:
        """Python cannot raise from where an object is being deleted."""
        nonlocal last
        if isinstance(unraisable.exc_value, Stopped):
            last = -math.inf
            send_again(unraisable.exc_value.number, seconds=RETRIED_AFTER)
        else:
            hook(unraisable)

    before = {number: signal.getsignal(number) for number in ENDING}
    hook = sys.unraisablehook
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, stop)
        sys.unraisablehook = retry
        yield
    finally:
        for timer in timers:
            timer.cancel()
        _come.clear()
        _told.clear()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ignored_after else handler)
