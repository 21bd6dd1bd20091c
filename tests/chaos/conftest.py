"""What the tests of disturbed commands share: the fork server, toy data, and the table at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.runs import fork_server
from chaos.scene import Scene
from chaos.tally import ROWS, table

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """All commands, run once without a disturbance."""
    with fork_server(TESTS, TESTS.parent):
        made = Scene.of(tmp_path_factory.mktemp("chaos"))
        yield made
    shutil.rmtree(made.temporary)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if ROWS:
        terminalreporter.section("chaos")
        terminalreporter.write_line(table())
