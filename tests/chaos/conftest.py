"""What the tests of disturbed commands share: the fork server, toy data, and the table at the end."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.disks import mount
from chaos.runs import fork_server
from chaos.scene import Scene
from chaos.tally import ROWS, table

TESTS = Path(__file__).parents[1]
DISK_BYTES = 64 * 2**20
ROOM_BYTES = 2**29


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """All commands, run once without a disturbance."""
    with fork_server(TESTS, TESTS.parent), tempfile.TemporaryDirectory(dir=memory()) as base:
        yield Scene.of(Path(base), tmp_path_factory.mktemp("temporary"))


def memory() -> Path | None:
    """A disk in memory, which need not be waited for, and is another than that of temporary files, as on a cluster."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > ROOM_BYTES else None


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may not mount a small disk: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if ROWS:
        terminalreporter.section("chaos")
        terminalreporter.write_line(table())
