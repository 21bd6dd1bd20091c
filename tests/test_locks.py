"""Folders that one process writes at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moe_mat.files.locks import only_writer

pytest.importorskip("fcntl")


def test_a_second_writer_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "experts"
    program = (
        "import sys, time; from pathlib import Path; from moe_mat.files.locks import only_writer\n"
        "with only_writer(Path(sys.argv[1])): print('inside', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, folder], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OSError, match=r"another process is writing to it: wait.*experts"), only_writer(folder):
            pass
        other.kill()
    with only_writer(folder):
        assert list(folder.iterdir()) == []


def test_a_block_that_fails_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_writer(tmp_path):
        raise KeyError
    with only_writer(tmp_path):
        pass
