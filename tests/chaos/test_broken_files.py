"""Broken files are read correctly or refused by name, each in five seconds and a gibibyte, and never anything else."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chaos.mutants import CRYSTALS, Edit, cif, edits, good_files

TESTS = Path(__file__).parents[1]
GOOD = good_files()
MUTANTS = 200  # of each good file
STARTING_SECONDS = 120  # on a busy machine
ANSWER_SECONDS = 30
AGAIN_AFTER = 200  # files, so that no memory adds up
SETTINGS = {
    "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
    "OMP_NUM_THREADS": "1",
    # Others reserve a gibibyte that they do not use, which counts.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

pytestmark = pytest.mark.slow


class Reader:
    """The process that reads; another one takes its place where it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    def ask(self, kind: str, path: Path) -> tuple[str, str]:
        """Outcome and message."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"kind": kind, "path": str(path)}).encode() + b"\n")
        process.stdin.flush()
        wait = ANSWER_SECONDS if self._read else STARTING_SECONDS
        self._read += 1
        if not select.select([process.stdout], [], [], wait)[0]:
            self.close()
            return "failed", f"no answer within {wait} s"
        if not (line := process.stdout.readline()):
            status = process.wait()
            self.close()
            return "failed", f"the process died with status {status}"
        answer = json.loads(line)
        return answer["outcome"], answer["message"]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._read >= AGAIN_AFTER:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **SETTINGS},
                bufsize=0,
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process, self._read = None, 0


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    process = Reader()
    yield process
    process.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that a CSV names."""
    folder = tmp_path_factory.mktemp("broken")
    for name, crystal in CRYSTALS.items():
        (folder / f"{name.split()[0]}.cif").write_bytes(cif(crystal))
    return folder


def read(reader: Reader, folder: Path, name: str, content: bytes) -> tuple[str, str]:
    (folder / name).write_bytes(content)
    return reader.ask(GOOD[name][0], folder / name)


@pytest.mark.parametrize("name", GOOD)
def test_a_broken_file_is_read_or_refused(name: str, reader: Reader, folder: Path) -> None:
    content = GOOD[name][1]
    outcomes: dict[str, int] = {"read": 0, "refused": 0}
    outcome, message = read(reader, folder, name, content)
    assert outcome == "read", message

    @settings(
        max_examples=MUTANTS,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(edits(len(content)))
    def of_mutant(changes: list[Edit]) -> None:
        broken = reduce(lambda before, change: change(before), changes, content)
        outcome, message = read(reader, folder, name, broken)
        assert outcome != "failed", message
        outcomes[outcome] += 1

    of_mutant()
    assert sum(outcomes.values()) >= MUTANTS
    assert outcomes["refused"]


def test_flipped_bytes_of_a_parquet_with_checksums_never_pass(reader: Reader, folder: Path) -> None:
    content = GOOD["table.parquet"][1]
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")  # it has no checksum
    good = read(reader, folder, "table.parquet", content)
    assert good[0] == "read"

    @settings(max_examples=MUTANTS, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(4, footer - 1), st.integers(1, 255)), min_size=1, max_size=8))
    def of_mutant(flips: list[tuple[int, int]]) -> None:
        broken = bytearray(content)
        for place, bits in flips:
            broken[place] ^= bits
        outcome, message = read(reader, folder, "table.parquet", bytes(broken))
        # Headers of pages have no checksum: where one makes nonsense of a row, the row is named.
        assert outcome == "refused" or (outcome, message) == good or not message.startswith("0 left out"), message

    of_mutant()
