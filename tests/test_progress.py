"""Progress is shown of long work alone: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from moe_mat.files import Progress, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a terminal shows."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=stream, force_terminal=True, width=80))
    return stream


def test_lines_in_a_log_come_now_and_then(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("counting", total=100) as work:
        for _ in range(100):
            clock[0] += 1
            work.advance()
    assert [one.getMessage() for one in caplog.records] == [
        "counting: 30 of 100",
        "counting: 60 of 100",
        "counting: 90 of 100",
    ]


def test_short_work_shows_no_bar(clock: list[float], screen: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("counting", total=20) as work:
        for _ in range(20):
            clock[0] += 0.1
            work.advance()
    assert screen.getvalue() == ""


def test_long_work_shows_one(clock: list[float], screen: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("counting", total=20) as work:
        for _ in range(10):
            clock[0] += 1
            work.advance()
    assert "counting" in screen.getvalue()
    assert not caplog.records


def test_quiet_shows_neither(clock: list[float], screen: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="moe_mat.files.progress")
    with Progress("counting") as work:
        clock[0] += 100
        work.advance()
    assert screen.getvalue() == ""
    assert not caplog.records
